import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { BpfError } from '../../../src/bytes/index.ts'
import { findBinary, openKernelBackend, UserBinary } from '../../../src/kernel/index.ts'
import { readTracefs } from '../../../src/kernel/links/tracefs.ts'
import { LinkType } from '../../../src/uapi/index.ts'
import { kernelTestsRun } from '../../support/kernel.ts'
import { mutate, mutationRuns } from '../../support/mutate.ts'
import { thrown } from '../../support/thrown.ts'
import { counted, loadAttach, mountTracefs, programOf } from './support.ts'

const run = await kernelTestsRun()

const SOURCE = `
#define KEEP __attribute__((noinline, noclone, used))
KEEP int add_numbers(int a, int b) { __asm__ volatile(""); return a + b; }
KEEP int add_more(int a) { __asm__ volatile(""); return a + 1; }
KEEP static int hidden_helper(int a) { __asm__ volatile(""); return a * 2; }
int main(void) {
  int sum = 0;
  for (int i = 0; i < 5; i++) sum = add_numbers(sum, i);
  for (int i = 0; i < 3; i++) sum = add_more(sum);
  return hidden_helper(sum) == 26 ? 0 : 1;
}
`
// Two versions of one symbol, as C libraries have them.
const LIBRARY = `
__asm__(".symver old_answer, answer@V_1");
__asm__(".symver new_answer, answer@@V_2");
int old_answer(void) { return 1; }
int new_answer(void) { return 2; }
`

const RUNNER = `
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
int main(int argc, char **argv) {
  long place = atol(argv[2]);
  char *page = mmap(0, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, open(argv[1], O_RDONLY), place & ~4095l);
  return ((int (*)(int, int))(page + (place & 4095)))(2, 3) == 5 ? 0 : 1;
}
`

/** A ZIP file with one entry that is stored on a page of its own. */
function zipOf(name: string, data: Uint8Array): { readonly archive: Uint8Array; readonly offset: number } {
  const header = (size: number, write: (view: DataView) => void): Buffer => {
    const bytes = Buffer.alloc(size)
    write(new DataView(bytes.buffer, bytes.byteOffset, size))
    return bytes
  }
  const offset = 4096
  const extra = offset - 30 - name.length
  const local = header(30, (view) => {
    view.setUint32(0, 0x0403_4b50, true)
    view.setUint32(18, data.length, true)
    view.setUint32(22, data.length, true)
    view.setUint16(26, name.length, true)
    view.setUint16(28, extra, true)
  })
  const central = header(46, (view) => {
    view.setUint32(0, 0x0201_4b50, true)
    view.setUint32(20, data.length, true)
    view.setUint32(24, data.length, true)
    view.setUint16(28, name.length, true)
  })
  const end = header(22, (view) => {
    view.setUint32(0, 0x0605_4b50, true)
    view.setUint16(8, 1, true)
    view.setUint16(10, 1, true)
    view.setUint32(12, 46 + name.length, true)
    view.setUint32(16, offset + data.length, true)
  })
  const parts = [local, Buffer.from(name), Buffer.alloc(extra), data, central, Buffer.from(name), end]
  return { archive: new Uint8Array(Buffer.concat(parts)), offset }
}

describe.runIf(run)('uprobe links', () => {
  if (!run) return
  const folder = mkdtempSync(join(tmpdir(), 'elfbee-uprobe-'))
  const backend = openKernelBackend()
  const compile = (name: string, ...flags: readonly string[]): string => {
    const path = join(folder, name)
    execFileSync('cc', ['-O1', ...flags, '-o', path, join(folder, 'probed.c')])
    return path
  }
  writeFileSync(join(folder, 'probed.c'), SOURCE)
  const pie = compile('pie', '-pie', '-fPIE')
  const fixed = compile('fixed', '-no-pie', '-fno-pie')
  afterAll(() => {
    backend.close()
    rmSync(folder, { recursive: true })
  })

  it.each([
    ['ET_DYN', pie],
    ['ET_EXEC', fixed],
  ])('counts calls of a function of an %s binary', async (_, binary) => {
    using live = await loadAttach(backend, 'on_uprobe')
    using link = programOf(live, 'on_uprobe').attach({ binary, symbol: 'add_numbers', cookie: 0xfeedn })
    execFileSync(binary)
    expect(counted(live, 'uprobe_count')).toBe(5n)
    expect(counted(live, 'uprobe_cookie')).toBe(0xfeedn)
    expect(link.info()).toMatchObject({ type: LinkType.PERF_EVENT, event: 'uprobe', target: binary, cookie: 0xfeedn })
    link.close()
    execFileSync(binary)
    expect(counted(live, 'uprobe_count')).toBe(5n)
  })

  it('takes "binary:function" and static functions', async () => {
    using live = await loadAttach(backend, 'on_uprobe')
    using link = programOf(live, 'on_uprobe').attach({ target: `${pie}:hidden_helper` })
    execFileSync(pie)
    expect(link.closed).toBe(false)
    expect(counted(live, 'uprobe_count')).toBe(1n)
  })

  it('takes an offset in the file', async () => {
    using live = await loadAttach(backend, 'on_uprobe')
    const offset = new UserBinary(fixed).offsetOf('add_more')
    using _link = programOf(live, 'on_uprobe').attach({ binary: fixed, offset })
    execFileSync(fixed)
    expect(counted(live, 'uprobe_count')).toBe(3n)
  })

  it('sees what a function returns', async () => {
    using live = await loadAttach(backend, 'on_uretprobe')
    using link = programOf(live, 'on_uretprobe').attach({ binary: pie, symbol: 'hidden_helper' })
    execFileSync(pie)
    expect(counted(live, 'uretprobe_count')).toBe(1n)
    expect(counted(live, 'uretprobe_result')).toBe(26n)
    expect(link.info()).toMatchObject({ event: 'uretprobe' })
  })

  it('watches only the process that is asked for', async () => {
    using live = await loadAttach(backend, 'on_uprobe')
    using _link = programOf(live, 'on_uprobe').attach({ binary: pie, symbol: 'add_numbers', pid: process.pid })
    execFileSync(pie)
    expect(counted(live, 'uprobe_count')).toBe(0n)
  })

  it('probes many functions at once, each with its cookie', async () => {
    using live = await loadAttach(backend, 'on_uprobe_multi')
    const program = programOf(live, 'on_uprobe_multi')
    using link = program.attach({ binary: pie, symbols: ['add_numbers', 'add_more'], cookies: [1, 100n] })
    execFileSync(pie)
    expect(counted(live, 'uprobe_multi_count')).toBe(8n)
    expect(counted(live, 'uprobe_multi_cookies')).toBe(305n)
    expect(link.info()).toMatchObject({ type: LinkType.UPROBE_MULTI, count: 2, target: pie, retprobe: false })
  })

  it('probes the functions that match a glob', async () => {
    using live = await loadAttach(backend, 'on_uprobe_multi')
    using _link = programOf(live, 'on_uprobe_multi').attach({ target: `${pie}:add_*` })
    execFileSync(pie)
    expect(counted(live, 'uprobe_multi_count')).toBe(8n)
  })

  it('runs a session at entry and return', async () => {
    using live = await loadAttach(backend, 'on_uprobe_session')
    using _link = programOf(live, 'on_uprobe_session').attach({ binary: fixed, symbols: ['add_more'] })
    execFileSync(fixed)
    expect(counted(live, 'uprobe_session_count')).toBe(6n)
  })

  it.each(['perf', 'tracefs'] as const)('attaches by %s, as older kernels do', async (attachMode) => {
    const unmount = mountTracefs()
    try {
      using live = await loadAttach(backend, 'on_uprobe')
      using link = programOf(live, 'on_uprobe').attach({ binary: pie, symbol: 'add_numbers', attachMode })
      execFileSync(pie)
      expect(counted(live, 'uprobe_count')).toBe(5n)
      expect(link.info().type).toBe(attachMode === 'perf' ? 0 : LinkType.PERF_EVENT)
      link.close()
      execFileSync(pie)
      expect(counted(live, 'uprobe_count')).toBe(5n)
      expect(readTracefs('uprobe_events')).not.toContain('elfbee')
    } finally {
      unmount()
    }
  })

  it('finds functions of a library inside a zip file', async () => {
    const code = readFileSync(compile('libcode.so', '-shared', '-fPIC'))
    const { archive, offset } = zipOf('lib/x86/libcode.so', code)
    const path = join(folder, 'app.apk')
    writeFileSync(path, archive)
    const inside = `${path}!/lib/x86/libcode.so`
    const place = new UserBinary(inside).offsetOf('add_numbers')
    expect(place).toBeGreaterThan(offset)
    using live = await loadAttach(backend, 'on_uprobe')
    using link = programOf(live, 'on_uprobe').attach({ binary: inside, symbol: 'add_numbers' })
    // Maps the code from the archive, as Android's linker does.
    writeFileSync(join(folder, 'runner.c'), RUNNER)
    const runner = join(folder, 'runner')
    execFileSync('cc', ['-o', runner, join(folder, 'runner.c')])
    execFileSync(runner, [path, `${place}`])
    expect(counted(live, 'uprobe_count')).toBe(1n)
    expect(link.info()).toMatchObject({ target: path })
    expect(thrown(() => new UserBinary(`${path}!/lib/none.so`)).code).toBe('not-found')
    expect(thrown(() => new UserBinary(`${pie}!/lib/none.so`)).code).toBe('malformed')
  })

  it('tells which function is missing', async () => {
    using live = await loadAttach(backend, 'on_uprobe')
    const error = thrown(() => programOf(live, 'on_uprobe').attach({ binary: pie, symbol: 'no_such_function' }))
    expect(error.code).toBe('not-found')
    expect(error.message).toContain(`${pie} has no function "no_such_function"`)
    expect(thrown(() => programOf(live, 'on_uprobe').attach()).code).toBe('usage')
  })
})

// Needs a C compiler, as the kernel tests do.
describe.runIf(run)('functions of binaries', () => {
  it('knows symbol versions', () => {
    const folder = mkdtempSync(join(tmpdir(), 'elfbee-symver-'))
    try {
      const path = join(folder, 'libanswer.so')
      writeFileSync(join(folder, 'answer.c'), LIBRARY)
      writeFileSync(join(folder, 'answer.map'), 'V_1 { global: answer; local: *; };\nV_2 { global: answer; } V_1;\n')
      const script = `-Wl,--version-script=${join(folder, 'answer.map')}`
      execFileSync('cc', ['-shared', '-fPIC', '-s', '-o', path, script, join(folder, 'answer.c')])
      const binary = new UserBinary(path)
      const [old, current] = [binary.offsetOf('answer@V_1'), binary.offsetOf('answer@@V_2')]
      expect(old).not.toBe(current)
      expect(binary.offsetOf('answer')).toBe(current)
      expect(binary.offsetOf('answer@V_2+0x4')).toBe(current + 4)
      expect(thrown(() => binary.offsetOf('answer@@V_1')).message).toContain('it has the versions')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('takes damaged binaries without harm', () => {
    const intact = new Uint8Array(readFileSync(findBinary('true')))
    let outcomes = 0
    for (let seed = 0; seed < mutationRuns(300); seed++) {
      try {
        const names = [...new UserBinary('damaged', mutate(intact, seed)).functions()].map(({ name }) => name)
        expect(names.every((name) => typeof name === 'string')).toBe(true)
      } catch (error) {
        expect(error).toBeInstanceOf(BpfError)
      }
      outcomes++
    }
    expect(outcomes).toBeGreaterThan(0)
  })

  it('looks programs and libraries up where the system does', () => {
    expect(findBinary('sh')).toMatch(/^\/.*\/sh$/)
    expect(findBinary('./relative')).toBe('./relative')
    expect(thrown(() => findBinary('no-such-program')).code).toBe('not-found')
    expect(findBinary('app.apk!/lib/x.so')).toBe('app.apk!/lib/x.so')
  })

  it('refuses a file that is no ELF file', () => {
    expect(thrown(() => new UserBinary('/etc/passwd')).code).toBe('malformed')
  })
})
