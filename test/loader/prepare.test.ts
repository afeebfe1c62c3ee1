import { describe, expect, it } from 'vitest'
import { BtfBuilder } from '../../src/btf/index.ts'
import {
  openObject,
  prepare,
  type ObjectSpec,
  type PreparedProgram,
  type PrepareOptions,
} from '../../src/loader/index.ts'
import { loadFixture } from '../support/fixture.ts'

const LOCAL: PrepareOptions = { kernelBtf: null, withoutBtf: 'local', kconfig: { text: '', kernelVersion: 0x61200 } }

async function open(name: string, build: string = 'clang19'): Promise<ObjectSpec> {
  const file = `${name}.bpf.o`
  return openObject(await loadFixture(`fixtures/${build}/${file}`), { name: file })
}

function program(spec: ObjectSpec, name: string, options: PrepareOptions = LOCAL): PreparedProgram {
  const [result] = prepare(spec, { ...options, programs: [name] }).programs
  if (result?.ok !== true) throw new Error(`${name}: ${result?.error.message}`)
  return result.program
}

describe('prepare', () => {
  it('appends subprograms depth first, and links calls and callbacks', async () => {
    for (const build of ['clang14', 'clang19', 'clang19-eb']) {
      const spec = await open('subprograms', build)
      for (const name of Object.keys(spec.programs)) {
        const { insns, functions } = program(spec, name)
        expect(functions[0]).toMatchObject({ name, start: 0 })
        const starts = new Map(functions.map((fn) => [fn.start, fn.name]))
        const called: string[] = []
        for (let i = 0; i < insns.length; i++) {
          const isWide = insns.code[i] === 0x18
          const isCall = insns.code[i] === 0x85 && insns.src[i] === 1
          if (isCall || (isWide && insns.src[i] === 4)) {
            const target = starts.get(i + (insns.imm[i] ?? 0) + 1)
            expect(target).toBeDefined()
            if (target !== undefined && !called.includes(target)) called.push(target)
          }
          if (isWide) i++
        }
        expect(called.sort()).toEqual(
          functions
            .map((fn) => fn.name)
            .filter((fn) => fn !== name)
            .sort(),
        )
      }
    }
  })

  it('rebases lines and function types with the functions', async () => {
    const spec = await open('subprograms')
    const { functions, lines } = program(spec, 'calls')
    expect(functions.length).toBeGreaterThan(1)
    for (const fn of functions) {
      expect(spec.btf?.name(fn.btfId)).toBe(fn.name)
      expect(lines.some((line) => line.insn === fn.start)).toBe(true)
    }
    expect(lines.map((line) => line.insn)).toEqual(lines.map((line) => line.insn).sort((a, b) => a - b))
  })

  it('leaves instructions as they are when types resolve to themselves', async () => {
    for (const name of ['core_kinds', 'execsnoop', 'block_latency', 'tracing']) {
      for (const build of ['clang14', 'clang19', 'clang19-eb']) {
        const spec = await open(name, build)
        for (const { functionIndex, name: programName } of Object.values(spec.programs)) {
          const prepared = program(spec, programName)
          const original = spec.functions[functionIndex]
          const untouched = new Set(original?.references.map((r) => r.insn))
          for (let i = 0; i < (original?.insns.length ?? 0); i++) {
            expect(prepared.insns.code[i]).toBe(original?.insns.code[i])
            if (untouched.has(i) || untouched.has(i - 1)) continue
            expect(prepared.insns.off[i]).toBe(original?.insns.off[i])
          }
          for (const record of prepared.core) expect([record.outcome, record.asked]).toEqual(['applied', record.asked])
        }
      }
    }
  })

  it('reports every CO-RE relocation: what was asked, where, and what came of it', async () => {
    const spec = await open('execsnoop')
    const withRelocations = spec.functions.find((fn) => fn.coreRelocations.length > 0)
    const { core } = program(spec, withRelocations?.name ?? '')
    const record = core[0]
    expect(record?.asked).toMatch(/^struct \w+\.\w+/)
    expect(record?.sourceLine).toMatch(/execsnoop\.bpf\.c:\d+: /)
    expect(record?.candidates[0]).toMatchObject({ matches: true, reason: null })
    expect(JSON.parse(JSON.stringify(record))).toMatchObject({ kindName: 'byte_off', outcome: 'applied' })
  })

  it('looks in extra targets, by either policy', async () => {
    const spec = await open('execsnoop')
    const { btf } = spec
    if (btf === null) throw new Error('no BTF')
    const empty = new BtfBuilder().toBtf()
    const names = Object.keys(spec.programs)
    const outcomes = (options: Partial<PrepareOptions>): Set<string> =>
      new Set(
        prepare(spec, { ...LOCAL, kernelBtf: empty, programs: names, ...options }).programs.flatMap((result) =>
          (result.ok ? result.program.core : result.core).map((record) => record.outcome),
        ),
      )
    expect(outcomes({})).toContain('poisoned')
    for (const corePolicy of ['libbpf', 'cilium'] as const) {
      expect(outcomes({ corePolicy, extraTargets: [btf] })).toEqual(new Set(['applied']))
    }
  })

  it('fails only the programs that need what is missing', async () => {
    const spec = await open('externs')
    const results = prepare(spec, { kernelBtf: null, kconfig: { text: '', kernelVersion: 0x61200 } }).programs
    const failed = results.flatMap((r) => (r.ok ? [] : [`${r.spec.name}: ${r.error.message}`]))
    expect(failed).toHaveLength(2)
    expect(failed[0]).toMatch(/^kconfig: CONFIG_.* is not set in the kernel's configuration, and not weak/)
    expect(failed[1]).toMatch(/^kfuncs: .*'bpf_rcu_read_lock' needs the kernel's BTF/)
  })

  it('gives kconfig externs their values by type', async () => {
    for (const build of ['clang19', 'clang19-eb']) {
      const spec = await open('externs', build)
      const text =
        'CONFIG_HZ=250\nCONFIG_INET=m\nCONFIG_BPF_SYSCALL=y\n# CONFIG_X is not set\nCONFIG_LOG_BUF_SHIFT=0x11\n'
      const more = `CONFIG_CC_VERSION_TEXT="${'x'.repeat(100)}"\n`
      const options: PrepareOptions = {
        ...LOCAL,
        kconfig: { text: text + more, kernelVersion: 0x61203, bpfCookie: true },
      }
      const { kconfig, programs } = prepare(spec, { ...options, programs: ['kconfig'] })
      expect(programs[0]?.ok).toBe(true)
      const view = new DataView(kconfig?.buffer ?? new ArrayBuffer(0))
      const at = (name: string): number => spec.externs[name]?.offset ?? -1
      expect(view.getUint32(at('CONFIG_HZ'), spec.littleEndian)).toBe(250)
      expect(view.getUint32(at('CONFIG_INET'), spec.littleEndian)).toBe(2)
      expect(view.getUint8(at('CONFIG_BPF_SYSCALL'))).toBe(1)
      expect(view.getBigUint64(at('CONFIG_LOG_BUF_SHIFT'), spec.littleEndian)).toBe(17n)
      expect(view.getUint32(at('LINUX_KERNEL_VERSION'), spec.littleEndian)).toBe(0x61203)
      expect(view.getUint8(at('LINUX_HAS_BPF_COOKIE'))).toBe(1)
      // A string that is too long is cut and still ends.
      expect(view.getUint8(at('CONFIG_CC_VERSION_TEXT') + 62)).toBe(120)
      expect(view.getUint8(at('CONFIG_CC_VERSION_TEXT') + 63)).toBe(0)

      const wrong = prepare(spec, {
        ...options,
        kconfig: { text: 'CONFIG_HZ=y', kernelVersion: 1 },
        programs: ['kconfig'],
      })
      expect(wrong.programs[0]).toMatchObject({ ok: false, error: { code: 'type-mismatch' } })
    }
  })

  it('makes both slots of instructions invalid that use a map which is not created', async () => {
    const spec = await open('packet_counter')
    const flows = spec.maps['flows']
    if (flows !== undefined) flows.autocreate = false
    const { insns, lateReferences } = program(spec, 'count_packets')
    expect(lateReferences.some((r) => r.kind === 'map' && r.map === 'flows')).toBe(false)
    expect(
      [...insns.imm].filter((imm) => imm === 2_001_000_000 + Object.keys(spec.maps).indexOf('flows')),
    ).toHaveLength(4)
  })

  it('prepares optional programs only when asked to', async () => {
    const spec = await open('optional_prog')
    const names = prepare(spec, LOCAL).programs.map((r) => (r.ok ? r.program.spec.name : r.spec.name))
    expect(names).toEqual(['first', 'second', 'classify'])
    expect(program(spec, 'third').spec.autoload).toBe(false)
  })
})
