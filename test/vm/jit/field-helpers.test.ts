import { describe, expect, test } from 'vitest'
import { encodeUtf8, toHex } from '../../../src/bytes/index.ts'
import type { Operation } from '../../../src/isa/index.ts'
import { HelperId, ProgType } from '../../../src/uapi/index.ts'
import { createVm, type Vm, type VmOptions, type VmProgram } from '../../../src/vm/index.ts'
import { op, program } from '../../support/program.ts'

const ENGINES = [true, false]

function loaded(vm: Vm, operations: readonly Operation[]): VmProgram {
  return vm.loadProgram({
    program: program('fields', ProgType.SYSCALL, operations),
    license: 'GPL',
    version: 0,
    btf: null,
    maps: new Map(),
    bindMaps: [],
    logLevel: 0,
  })
}

const COMM = `0000000000000000${toHex(encodeUtf8('a name that is \0'))}`
/** Instructions before, and the contexts after runs on CPU 0 and CPU 1 as far as they are known. */
const HELPERS: Readonly<Record<string, readonly [Operation[], ...(string | null)[]]>> = {
  get_prandom_u32: [[], null],
  get_current_pid_tgid: [[], '0700000001000080', '0700000001000080'],
  get_current_uid_gid: [[], 'e8030000feffffff', 'e8030000feffffff'],
  get_smp_processor_id: [[], '0000000000000000', '0100000000000000'],
  get_numa_node_id: [[], '0000000000000000', '0000000000000000'],
  get_current_task: [[], null],
  get_current_task_btf: [[], null],
  get_current_comm: [[op.mov(2, 16)], COMM, COMM],
}

describe('helpers that read a field give the same in both engines', () => {
  const options: VmOptions = {
    seed: 5,
    cpus: 2,
    task: { pid: 7, tgid: 0x8000_0001, uid: 1000, gid: 0xffff_fffe, comm: 'a name that is too long' },
  }

  test.each(Object.entries(HELPERS))('bpf_%s', (name, [before, ...expected]) => {
    const results = ENGINES.map((jit) => {
      // The result goes to the first word of the context, which a buffer follows.
      const fields = loaded(createVm({ verify: false, ...options, jit }), [
        op.movReg(6, 1),
        op.add(1, 8),
        ...before,
        op.helper(HelperId[name as keyof typeof HelperId]),
        { kind: 'store', size: 8, dst: 6, off: 0, src: 0, imm: 0 },
        op.exit,
      ])
      return [0, 1, 0, 0].map((cpu) =>
        toHex(fields.run({ ctx: new Uint8Array(32).fill(9), cpu, flags: cpu }).ctx as Uint8Array),
      )
    })
    expect(results[0]).toEqual(results[1])
    expected.forEach((start, i) => {
      if (start !== null) expect(results[0]?.[i]?.slice(0, start.length)).toBe(start)
    })
  })
})

test('random numbers follow the seed, or the option', () => {
  const numbers = (vmOptions: VmOptions): number[] => {
    const random = loaded(createVm({ verify: false, ...vmOptions }), [op.helper(HelperId.get_prandom_u32), op.exit])
    return [1, 2, 3].map(() => random.run({ ctx: new Uint8Array(8) }).retval >>> 0)
  }
  expect(numbers({ seed: 1 })).toEqual([270369, 67634689, 2647435461])
  expect(numbers({ seed: 2 })).not.toEqual(numbers({ seed: 1 }))
  let next = 40
  expect(numbers({ seed: 1, random: () => next++ })).toEqual([40, 41, 42])
})

test('bpf_spin_lock of a lock that is held stops the program', () => {
  const results = ENGINES.map((jit) => {
    const run = (helper: number, word: number): string => {
      const fields = loaded(createVm({ verify: false, jit }), [op.helper(helper), op.exit])
      try {
        return toHex(fields.run({ ctx: Uint8Array.of(word, 0, 0, 0, 1, 1, 1, 1) }).ctx as Uint8Array)
      } catch (error) {
        return (error as Error).message
      }
    }
    const { spin_lock: lock, spin_unlock: unlock } = HelperId
    return [run(lock, 0), run(lock, 1), run(unlock, 1), run(unlock, 0)]
  })
  expect(results[0]).toEqual(results[1])
  expect(results[0]?.[0]).toBe('0100000001010101')
  expect(results[0]?.[1]).toMatch(/lock that is held/)
  expect(results[0]?.[2]).toBe('0000000001010101')
})

test('the time is the host\u2019s, or the option\u2019s', () => {
  const now = [op.helper(HelperId.ktime_get_ns), op.exit]
  const before = performance.now() * 1e6
  const { retval } = loaded(createVm({ verify: false }), now).run({ ctx: new Uint8Array(8) })
  expect((retval - before) >>> 0).toBeLessThan(1e9)
  const fixed = loaded(createVm({ verify: false, clock: () => 0x1_2345_6789n }), now)
  expect(fixed.run({ ctx: new Uint8Array(8) }).retval).toBe(0x2345_6789)
})
