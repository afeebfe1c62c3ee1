import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { BpfError } from '../../../src/bytes/index.ts'
import { openKernelBackend } from '../../../src/kernel/index.ts'
import { parseUsdtArgs, UsdtArgType } from '../../../src/kernel/links/usdt-args.ts'
import { usdtProbes } from '../../../src/kernel/links/usdt-notes.ts'
import { load, openObject, type Link, type LoadedObject } from '../../../src/loader/index.ts'
import { LinkType } from '../../../src/uapi/index.ts'
import { loadFixture } from '../../support/fixture.ts'
import { kernelTestsRun } from '../../support/kernel.ts'
import { mutate, mutationRuns } from '../../support/mutate.ts'
import { thrown } from '../../support/thrown.ts'
import { programOf } from './support.ts'

const run = await kernelTestsRun()

/** Probes in the form of sys/sdt.h, which need not be installed. */
const SOURCE = String.raw`
#define PROBE(semaphore, name, arguments, ...)                                        \
  __asm__ volatile("990: nop\n"                                                       \
                   ".pushsection .note.stapsdt,\"?\",\"note\"\n.balign 4\n"           \
                   ".4byte 992f-991f, 994f-993f, 3\n991: .asciz \"stapsdt\"\n"        \
                   "992: .balign 4\n993: .8byte 990b\n.8byte _.stapsdt.base\n"        \
                   ".8byte " semaphore "\n.asciz \"shop\"\n.asciz \"" name "\"\n"     \
                   ".asciz \"" arguments "\"\n994: .balign 4\n.popsection\n"          \
                   ".ifndef _.stapsdt.base\n"                                         \
                   ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
                   ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n"                   \
                   "_.stapsdt.base: .space 1\n.size _.stapsdt.base, 1\n.popsection\n.endif\n" :: __VA_ARGS__)

__attribute__((section(".probes"))) volatile unsigned short shop_open;
volatile unsigned char list[8] = { 1, 2, 3, 250 };

int main(void) {
  long index = 3;
  volatile signed char small = -7;
  volatile unsigned short short_ = 60000;
  for (int i = 0; i < 4; i++) PROBE("0", "sale", "-4@%0 8@%1 4@%2", "r"(i - 1), "r"(0x123456789abcdef0L), "n"(42));
  PROBE("0", "many", "-1@%0 2@%1 8@%2", "m"(*(signed char *)&small), "m"(*(short *)&short_), "r"(index));
  PROBE("0", "indexed", "1@(%0,%1,1)", "r"(list), "r"(index));
  PROBE("0", "none", "", "r"(0));
  // Twice, with other arguments in each place.
  PROBE("0", "twice", "4@%0", "r"(5));
  PROBE("0", "twice", "-8@%0", "r"(-6L));
  if (shop_open) PROBE("shop_open", "guarded", "2@%0", "r"(shop_open));
  return shop_open;
}
`

describe.runIf(run && process.arch === 'x64')('USDT probes', () => {
  if (!run) return
  const folder = mkdtempSync(join(tmpdir(), 'elfbee-usdt-'))
  const backend = openKernelBackend()
  const binary = join(folder, 'shop')
  writeFileSync(join(folder, 'shop.c'), SOURCE)
  execFileSync('cc', ['-O1', '-fno-pie', '-no-pie', '-o', binary, join(folder, 'shop.c')])
  afterAll(() => {
    backend.close()
    rmSync(folder, { recursive: true })
  })
  const open = async (name: string, specs = 256): Promise<LoadedObject> => {
    const spec = openObject(await loadFixture('test/kernel/links/objects/usdt.bpf.o'), { name: 'usdt.bpf.o' })
    for (const program of Object.values(spec.programs)) program.autoload = program.name === name
    const map = spec.maps['__bpf_usdt_specs']
    if (map !== undefined) map.maxEntries = specs
    return load(spec, backend, { strict: true })
  }
  const value = (live: LoadedObject, name: string): unknown => live.variables[name]?.get()
  const args = (live: LoadedObject): bigint[] =>
    (value(live, 'arguments') as bigint[]).slice(0, Math.max(0, value(live, 'count') as number))

  it('hands over arguments in registers, in memory and constants, with the cookie', async () => {
    using live = await open('on_usdt')
    const program = programOf(live, 'on_usdt')
    using link = program.attach({ binary, probe: 'shop:sale', cookie: 0xfeed })
    execFileSync(binary)
    expect(value(live, 'calls')).toBe(4n)
    expect(args(live)).toEqual([2n, 0x123456789abcdef0n, 42n])
    expect(value(live, 'cookie')).toBe(0xfeedn)
    expect(link.info()).toMatchObject({ type: LinkType.UPROBE_MULTI, links: 1 })

    using other = program.attach({ target: `${binary}:shop:many` })
    expect(other.closed).toBe(false)
    execFileSync(binary)
    expect(args(live)).toEqual([-7n, 60000n, 3n])
    expect(value(live, 'cookie')).toBe(0n)
    link.close()
    execFileSync(binary)
    expect(value(live, 'calls')).toBe(10n)
  })

  it('knows probes without arguments, and several places with one name', async () => {
    using live = await open('on_usdt')
    {
      using _link = programOf(live, 'on_usdt').attach({ binary, probe: 'shop:none' })
      execFileSync(binary)
      expect(value(live, 'calls')).toBe(1n)
      expect(value(live, 'count')).toBe(0)
    }
    using link = programOf(live, 'on_usdt').attach({ binary, probe: 'shop:twice' })
    execFileSync(binary)
    expect(value(live, 'calls')).toBe(3n)
    expect(args(live)).toEqual([-6n])
    expect(link.info()).toMatchObject({ count: 2 })
  })

  it('turns guarded probes on by their semaphore', async () => {
    using live = await open('on_usdt')
    execFileSync(binary)
    using link = programOf(live, 'on_usdt').attach({ binary, probe: 'shop:guarded' })
    // The counter is 1 in processes that run meanwhile.
    expect(exitCode(binary)).toBe(1)
    expect(args(live)).toEqual([1n])
    link.close()
    expect(exitCode(binary)).toBe(0)
    expect(value(live, 'calls')).toBe(1n)
  })

  it('works place by place for programs that are loaded as plain uprobes', async () => {
    using live = await open('on_uprobe_without')
    using link = programOf(live, 'on_uprobe_without').attach({ binary, probe: 'shop:twice', cookie: 5 })
    execFileSync(binary)
    expect(value(live, 'calls')).toBe(2n)
    expect(args(live)).toEqual([-6n])
    expect(value(live, 'cookie')).toBe(5n)
    expect(link.info()).toMatchObject({ type: LinkType.PERF_EVENT, links: 2 })
    expect(thrown(() => link.pin('/sys/fs/bpf/two')).code).toBe('unsupported')
  })

  it('gives the numbers of specs back', async () => {
    using live = await open('on_usdt', 2)
    const attach = (): Link => programOf(live, 'on_usdt').attach({ binary, probe: 'shop:none' })
    for (let i = 0; i < 5; i++) attach().close()
    using one = attach()
    using two = attach()
    expect(thrown(attach).code).toBe('limit')
    two.close()
    attach().close()
    execFileSync(binary)
    expect(value(live, 'calls')).toBe(1n)
    expect(one.closed).toBe(false)
  })

  it('says which probes there are', async () => {
    using live = await open('on_usdt')
    const program = programOf(live, 'on_usdt')
    const error = thrown(() => program.attach({ binary, probe: 'shop:closed' }))
    expect(error.code).toBe('not-found')
    expect(error.message).toContain('it has the USDT probes shop:sale, shop:many')
    expect(thrown(() => program.attach({ binary: 'true', probe: 'shop:sale' })).message).toContain(
      'it has no USDT probes',
    )
    expect(thrown(() => program.attach({ binary })).code).toBe('usage')
    // The object's own header is of libbpf 1.1 and knows no indexed addresses.
    expect(thrown(() => program.attach({ binary, probe: 'shop:indexed' })).code).toBe('unsupported')
  })

  it('takes damaged binaries without harm', () => {
    const intact = new Uint8Array(readFileSync(binary))
    expect(usdtProbes('shop', intact)).toHaveLength(7)
    for (let seed = 0; seed < mutationRuns(300); seed++) {
      try {
        usdtProbes('damaged', mutate(intact, seed))
      } catch (error) {
        expect(error).toBeInstanceOf(BpfError)
      }
    }
  })
})

describe('arguments of USDT probes', () => {
  it('are understood as x86-64 assemblers write them', () => {
    expect(parseUsdtArgs('-4@%eax 8@-20(%rbp) 1@(%rsp) 2@$-9 8@16(%r12,%rbx,8) 4@%r9d -1@(%rax,%rcx)', 'x64')).toEqual([
      { type: UsdtArgType.REG, value: 0n, register: 80, index: 0, shift: 0, size: 4, signed: true },
      { type: UsdtArgType.REG_DEREF, value: -20n, register: 32, index: 0, shift: 0, size: 8, signed: false },
      { type: UsdtArgType.REG_DEREF, value: 0n, register: 152, index: 0, shift: 0, size: 1, signed: false },
      { type: UsdtArgType.CONST, value: -9n, register: 0, index: 0, shift: 0, size: 2, signed: false },
      { type: UsdtArgType.SIB, value: 16n, register: 24, index: 40, shift: 3, size: 8, signed: false },
      { type: UsdtArgType.REG, value: 0n, register: 64, index: 0, shift: 0, size: 4, signed: false },
      { type: UsdtArgType.SIB, value: 0n, register: 80, index: 88, shift: 0, size: 1, signed: true },
    ])
    expect(parseUsdtArgs(' 8 @ %rip ', 'x64')[0]).toMatchObject({ register: 128 })
    expect(parseUsdtArgs('', 'x64')).toEqual([])
  })

  it('are understood as arm64 assemblers write them', () => {
    expect(parseUsdtArgs('-4@[sp, 96] 8@x4 4@5 -2@[x29] 8@sp -4@w3 8@[x0, -16]', 'arm64')).toEqual([
      { type: UsdtArgType.REG_DEREF, value: 96n, register: 248, index: 0, shift: 0, size: 4, signed: true },
      { type: UsdtArgType.REG, value: 0n, register: 32, index: 0, shift: 0, size: 8, signed: false },
      { type: UsdtArgType.CONST, value: 5n, register: 0, index: 0, shift: 0, size: 4, signed: false },
      { type: UsdtArgType.REG_DEREF, value: 0n, register: 232, index: 0, shift: 0, size: 2, signed: true },
      { type: UsdtArgType.REG, value: 0n, register: 248, index: 0, shift: 0, size: 8, signed: false },
      { type: UsdtArgType.REG, value: 0n, register: 24, index: 0, shift: 0, size: 4, signed: true },
      { type: UsdtArgType.REG_DEREF, value: -16n, register: 0, index: 0, shift: 0, size: 8, signed: false },
    ])
  })

  it('are refused in other forms', () => {
    for (const text of ['8@%xmm0', '3@%eax', '4@foo(%rip)', '4%eax', '8@(%rax,%rbx,3)', '4@$', '8@-(%rax)']) {
      expect(thrown(() => parseUsdtArgs(text, 'x64')).code, text).toBe('unsupported')
    }
    expect(thrown(() => parseUsdtArgs('8@x31', 'arm64')).code).toBe('unsupported')
    expect(thrown(() => parseUsdtArgs('1@$1 '.repeat(13), 'x64')).code).toBe('limit')
  })
})

function exitCode(binary: string): number {
  try {
    execFileSync(binary)
    return 0
  } catch (error) {
    return (error as { status: number }).status
  }
}
