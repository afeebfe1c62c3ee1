import { describe, expect, it } from 'vitest'
import { openKernelBackend, summariseLog } from '../../src/kernel/index.ts'
import type { PreparedProgram } from '../../src/loader/index.ts'
import { ProgType } from '../../src/uapi/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { op, program } from '../support/program.ts'
import { thrown } from '../support/thrown.ts'

const run = await kernelTestsRun()

describe('summariseLog', () => {
  it('finds the complaint between instructions, states and statistics', () => {
    const log = [
      'func#0 @0',
      'Live regs before insn:',
      '0: R1=ctx() R10=fp0',
      '; int x = *(int *)(ctx + 4096); @ a.bpf.c:7',
      '0: (61) r0 = *(u32 *)(r1 +4096)       ; R1=ctx()',
      'invalid bpf_context access off=4096 size=4',
      'processed 1 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0',
      '',
    ].join('\n')
    expect(summariseLog(log)).toEqual({
      message: 'invalid bpf_context access off=4096 size=4',
      insn: '0: (61) r0 = *(u32 *)(r1 +4096)',
      slot: 0,
      source: 'int x = *(int *)(ctx + 4096); @ a.bpf.c:7',
    })
  })

  it('takes the reason of an explained log (Linux 7.3)', () => {
    const log = '0: (95) exit\nReason: R0 was never written\nAt: exit\nSuggestion: return a value\nprocessed 1 insns\n'
    expect(summariseLog(log).message).toBe('R0 was never written')
  })

  it('survives an empty log', () => {
    expect(summariseLog('')).toEqual({ message: '', insn: '', slot: null, source: '' })
  })
})

describe.runIf(run)('programs that the kernel refuses', () => {
  if (!run) return
  const backend = openKernelBackend()
  const load = (prepared: PreparedProgram, logLevel: number = 0) =>
    backend.loadProgram({
      program: prepared,
      license: 'GPL',
      version: 0,
      btf: null,
      maps: new Map(),
      bindMaps: [],
      logLevel,
    })

  it('give the verifier its say, with the whole log', () => {
    const error = thrown(() => load(program('bad', ProgType.XDP, [op.load(4, 0, 1, 4096), op.exit])))
    expect(error.code).toBe('verifier')
    expect(error.errno).toBe('EACCES')
    expect(error.message).toContain('refused program "bad" (EACCES): invalid bpf_context access off=4096 size=4')
    expect(error.where).toMatchObject({ program: 'bad', insn: 0 })
    expect(error.log).toContain('0: (61) r0 = *(u32 *)(r1 +4096)')
  })

  it('give the whole log however long', () => {
    const body = Array.from({ length: 4000 }, () => op.add(0, 1))
    const error = thrown(() =>
      load(program('long', ProgType.XDP, [op.mov(0, 0), ...body, op.load(4, 0, 1, 4096), op.exit])),
    )
    expect(error.message).toContain('invalid bpf_context access')
    expect(error.log?.length).toBeGreaterThan(64 * 1024)
    expect(error.log).toContain('0: (b7) r0 = 0')
  })

  it('say which CO-RE relocation was poisoned', () => {
    const poisoned = program('poisoned', ProgType.XDP, [op.helper(195896080), op.mov(0, 0), op.exit])
    const core = [
      {
        insn: 0,
        function: 'poisoned',
        kind: 0,
        kindName: 'byte_off',
        asked: 'struct task_struct.gone',
        localTypeId: 1,
        access: '0:1',
        candidates: [
          {
            typeId: 7,
            name: 'struct task_struct',
            matches: false,
            reason: 'struct task_struct has no member gone',
            layout: {
              local: 'struct task_struct (4 bytes)',
              target: 'struct task_struct (64 bytes)',
              rows: [
                {
                  name: 'gone',
                  local: { name: 'gone', type: 'int', bitOffset: 0, size: 4, bitSize: 0 },
                  target: null,
                  similar: ['__gone'],
                },
              ],
              otherMembers: 3,
            },
          },
        ],
        matched: null,
        localValue: 4n,
        targetValue: null,
        outcome: 'poisoned' as const,
        reason: 'no member "gone"',
        sourceLine: null,
      },
    ]
    const error = thrown(() => load({ ...poisoned, core }))
    expect(error.message).toContain('CO-RE relocation byte_off struct task_struct.gone has no match: no member "gone"')
    expect(error.message).toContain('candidate [7] struct task_struct: struct task_struct has no member gone')
    expect(error.message).toMatch(/gone +int at 0, 4 bytes +- \(similar: __gone\)/)
  })

  it('say which map was missing', () => {
    const error = thrown(() => load(program('lonely', ProgType.XDP, [op.map(1), op.mov(0, 0), op.exit], ['absent'])))
    expect(error.message).toContain('map absent, which was not created')
  })

  it('keep a log that was asked for', () => {
    using loaded = load(program('fine', ProgType.XDP, [op.mov(0, 0), op.exit]), 1)
    expect(loaded.log).toContain('processed 2 insns')
  })

  it('are refused without a log where no verifier was asked', () => {
    const error = thrown(() => load(program('nothing', 9999, [op.mov(0, 0), op.exit])))
    expect(error).toMatchObject({ code: 'syscall', errno: 'EINVAL' })
    expect(error.message).toContain('program type')
  })

  it('explain runs that the kernel cannot do', () => {
    using probe = load(program('probe', ProgType.KPROBE, [op.mov(0, 0), op.exit]))
    const error = thrown(() => probe.run({}))
    expect(error.errno).toBe('ENOTSUPP')
    expect(error.message).toContain('cannot test-run programs of this type')
  })
})
