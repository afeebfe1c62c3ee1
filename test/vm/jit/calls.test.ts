import { describe, expect, test } from 'vitest'
import { isBpfError } from '../../../src/bytes/index.ts'
import type { Operation } from '../../../src/isa/index.ts'
import { FRAME_SIZE, STACK_TOP_ADDRESS, TAIL_CALLS_ADDRESS, type CompiledCode } from '../../../src/vm/engine.ts'
import { jit } from '../../../src/vm/jit/index.ts'
import { Trap } from '../../../src/vm/trap.ts'
import {
  alu,
  assemble,
  branch,
  callHelper,
  callLocal,
  DATA,
  exit,
  imm64,
  jump,
  load,
  mov,
  runOps,
  STACK_TOP,
  store,
  TestMachine,
} from './support.ts'

function trapOf(work: () => unknown): { insn: number | undefined; text: string } {
  try {
    work()
  } catch (error) {
    if (isBpfError(error) && error.code === 'trap') return { insn: error.where.insn, text: error.message }
    throw error
  }
  throw new Error('the run did not trap')
}

/** ld_imm64 of a function's address at slot `at`. */
const functionAddress = (dst: number, at: number, target: number): Operation => ({
  kind: 'loadImm64',
  dst,
  pseudo: 4,
  low: target - at - 1,
  high: 0,
})

describe('helpers', () => {
  test('get five arguments of 64 bits and give one result', () => {
    const machine = new TestMachine()
    let seen: bigint[] = []
    machine.helpers.set(7, (...args) => {
      seen = args
      return 0xfedcba9876543210n
    })
    const ops = [
      imm64(1, 0x1111111122222222n),
      imm64(2, -1n),
      imm64(3, 1n << 63n),
      mov(4, -7),
      mov(5, 5),
      callHelper(7),
      exit,
    ]
    expect(runOps(ops, { machine })).toBe(0xfedcba9876543210n)
    expect(seen).toEqual([0x1111111122222222n, (1n << 64n) - 1n, 1n << 63n, (1n << 64n) - 7n, 5n])
  })

  test('kernel functions', () => {
    const machine = new TestMachine()
    machine.kfuncs.set(40000, (a, b) => a * b)
    const ops: Operation[] = [mov(1, 6), mov(2, 7), { kind: 'call', call: 'kfunc', imm: 40000, off: 0 }, exit]
    expect(runOps(ops, { machine })).toBe(42n)
  })

  test('r6 to r9 survive', () => {
    const machine = new TestMachine()
    machine.helpers.set(1, () => 0n)
    const ops = [mov(6, 1), mov(9, 2), callHelper(1), alu('add', 0, 6), alu('add', 0, 9), exit]
    expect(runOps(ops, { machine })).toBe(3n)
  })

  test('a missing one is refused when the program is compiled', () => {
    expect(() => runOps([mov(0, 0), callHelper(14), exit])).toThrowError(/helper bpf_get_current_pid_tgid/)
  })

  test('that traps is reported at its call', () => {
    const machine = new TestMachine()
    machine.helpers.set(1, () => {
      throw new Trap('memory', 'bad key pointer')
    })
    const trap = trapOf(() => runOps([mov(0, 0), mov(1, 0), callHelper(1), exit], { machine }))
    expect(trap).toEqual({ insn: 2, text: 'bad key pointer' })
    expect(machine.stackTop()).toBe(STACK_TOP)
  })

  test('find the free stack below the calling frame', () => {
    const machine = new TestMachine()
    const tops: number[] = []
    machine.helpers.set(1, () => {
      tops.push(machine.stackTop())
      return 0n
    })
    const ops = [callHelper(1), callLocal(1, 4), callHelper(1), exit, callHelper(1), exit]
    runOps(ops, { machine, starts: [0, 4] })
    expect(tops).toEqual([STACK_TOP - FRAME_SIZE, STACK_TOP - 2 * FRAME_SIZE, STACK_TOP - FRAME_SIZE])
    expect(machine.stackTop()).toBe(STACK_TOP)
  })
})

describe('functions', () => {
  test('get r1 to r5, keep their own r6 to r9 and frame', () => {
    const ops = [
      mov(6, 100),
      store(8, 10, -8, 6),
      mov(1, 1),
      mov(2, 2),
      mov(3, 3),
      mov(4, 4),
      mov(5, 5),
      callLocal(7, 12),
      alu('add', 0, 6),
      load(8, 1, 10, -8),
      alu('add', 0, 1),
      exit,
      // The function.
      mov(6, 7),
      store(8, 10, -8, 6),
      alu('mov', 0, 1),
      alu('add', 0, 2),
      alu('add', 0, 3),
      alu('add', 0, 4),
      alu('add', 0, 5),
      exit,
    ]
    expect(runOps(ops, { starts: [0, 12] })).toBe(215n)
  })

  test('nest as deep as eight frames, the entry included', () => {
    const chain = (depth: number): { ops: Operation[]; starts: number[] } => {
      const ops: Operation[] = []
      const starts: number[] = []
      for (let i = 0; i < depth; i++) {
        starts.push(ops.length)
        if (i === depth - 1) ops.push(mov(0, 1), exit)
        else ops.push(callLocal(ops.length, ops.length + 3), alu('add', 0, { imm: 1 }), exit)
      }
      return { ops, starts }
    }
    const eight = chain(8)
    expect(runOps(eight.ops, { starts: eight.starts })).toBe(8n)
    const nine = chain(9)
    const machine = new TestMachine()
    const trap = trapOf(() => runOps(nine.ops, { starts: nine.starts, machine }))
    expect(trap.insn).toBe(21)
    expect(trap.text).toMatch(/nested too deep/)
    expect(machine.stackTop()).toBe(STACK_TOP)
  })

  test('recursion uses up the frames', () => {
    expect(trapOf(() => runOps([callLocal(0, 0), exit])).text).toMatch(/nested too deep/)
  })

  test('must start where they are called', () => {
    expect(() => runOps([callLocal(0, 2), exit, mov(0, 0), exit])).toThrowError(/no function starts at slot 2/)
  })
})

/** Helper that the JIT does not know. */
const OTHER_LOOP = 9999

describe('callbacks', () => {
  /** A bpf_loop that calls its second argument with an index and its third argument until it returns 1. */
  function withLoop(
    ops: readonly Operation[],
    starts: number[],
    fuel?: number,
  ): { machine: TestMachine; code: CompiledCode } {
    const machine = new TestMachine(fuel)
    let code: CompiledCode | undefined
    const loop = (count = 0n, callback = 0n, ctx = 0n): bigint => {
      for (let i = 0n; i < count; i++) {
        machine.setReg(1, i)
        machine.setReg(2, ctx)
        code?.call(Number(callback))
        if (machine.reg(0) === 1n) return i + 1n
      }
      return count
    }
    machine.helpers.set(181, loop)
    machine.helpers.set(OTHER_LOOP, loop)
    code = jit.compile(assemble(ops, { starts }), machine)
    return { machine, code }
  }

  /** Adds 0 to 9 in a frame slot of the caller. */
  const loopSum = (helper: number): Operation[] => [
    mov(6, 0),
    store(8, 10, -8, 6),
    mov(1, 10),
    functionAddress(2, 3, 11),
    alu('mov', 3, 10),
    alu('add', 3, { imm: -8 }),
    mov(4, 0),
    callHelper(helper),
    load(8, 0, 10, -8),
    exit,
    // The callback, at slot 12: the address takes two slots.
    load(8, 3, 2, 0),
    alu('add', 3, 1),
    store(8, 2, 0, 3),
    store(8, 10, -8, 1),
    mov(0, 0),
    exit,
  ]

  test.each([181, OTHER_LOOP])('run below the frame of their caller, helper %i', (helper) => {
    const { machine, code } = withLoop(loopSum(helper), [0, 11])
    code.run(0)
    expect(machine.reg(0)).toBe(45n)
    expect(machine.stackTop()).toBe(STACK_TOP)
  })

  test.each([181, OTHER_LOOP])('share the fuel of the run, helper %i', (helper) => {
    const enough = withLoop(loopSum(helper), [0, 11], 10)
    enough.code.run(0)
    expect(enough.machine.reg(0)).toBe(45n)
    const { code } = withLoop(loopSum(helper), [0, 11], 9)
    expect(trapOf(() => code.run(0)).insn).toBe(11)
    // Each run starts with all of it.
    enough.code.run(0)
  })

  test.each([
    ['no iterations', 0, 0n],
    ['all of them', 5, 5n],
    ['until the callback says so', 100, 43n],
    ['too many', 8388609, BigInt.asUintN(64, -7n)],
  ])('bpf_loop: %s', (_, count, result) => {
    const machine = new TestMachine()
    machine.helpers.set(181, () => 999n)
    const ops = [
      mov(1, count),
      functionAddress(2, 1, 7),
      mov(3, 0),
      mov(4, 0),
      callHelper(181),
      exit,
      // The callback: stops at 42.
      mov(0, 0),
      branch('ne', 1, { imm: 42 }, 10),
      mov(0, 1),
      exit,
    ]
    expect(runOps(ops, { machine, starts: [0, 7] })).toBe(result)
  })

  test('need stack for their frames', () => {
    const machine = new TestMachine()
    machine.helpers.set(181, () => 0n)
    // A callback that loops over itself.
    const loop = (at: number, start: number): Operation[] => [
      mov(1, 2),
      functionAddress(2, at + 1, start),
      mov(3, 0),
      mov(4, 0),
      callHelper(181),
      exit,
    ]
    const ops = [...loop(0, 7), ...loop(7, 7)]
    expect(trapOf(() => runOps(ops, { machine, starts: [0, 7] }))).toMatchObject({ insn: 12 })
  })

  test('that do not exist trap', () => {
    const { code } = withLoop([mov(1, 1), mov(2, 99), mov(3, 0), callHelper(181), exit], [0])
    const trap = trapOf(() => code.run(0))
    expect(trap.insn).toBe(3)
    expect(trap.text).toMatch(/callback 99/)
  })
})

describe('tail calls', () => {
  const ops = [mov(2, 0), mov(3, 1), store(8, 10, -16, 3), callHelper(12), mov(0, 5), exit]

  test('end the caller with the result of the target, which takes the place of its frame', () => {
    const machine = new TestMachine()
    // What an address is passed of lies in memory.
    const passing = [alu('mov', 4, 10), alu('add', 4, { imm: -16 }), ...ops]
    const target = assemble([
      imm64(0, 0x100000002n),
      load(8, 2, 10, -16),
      alu('add', 0, 2),
      load(4, 2, 1, 0),
      alu('add', 0, 2),
      exit,
    ])
    machine.targets.set(1, jit.compile(target, machine))
    machine.view.setUint32(DATA, 1000, true)
    expect(runOps(passing, { machine, ctx: DATA })).toBe(0x100000002n + 1n + 1000n)
    expect(machine.stackTop()).toBe(STACK_TOP)
  })

  test('fall through without a target', () => {
    expect(runOps(ops)).toBe(5n)
  })

  test('from a function return to its caller', () => {
    const machine = new TestMachine()
    machine.targets.set(1, jit.compile(assemble([mov(0, 40), mov(6, 9), store(8, 10, -8, 6), exit]), machine))
    const withCall = [
      mov(6, 2),
      store(8, 10, -8, 6),
      callLocal(2, 6),
      load(8, 1, 10, -8),
      alu('add', 0, 1),
      exit,
      ...ops,
    ]
    expect(runOps(withCall, { machine, starts: [0, 6] })).toBe(42n)
  })
})

describe('legacy packet loads', () => {
  test('read big-endian, and end the program outside of the packet', () => {
    const machine = new TestMachine()
    machine.packet = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8])
    expect(runOps([{ kind: 'loadAbs', size: 4, imm: 2 }, exit], { machine })).toBe(0x03040506n)
    expect(runOps([mov(7, 5), { kind: 'loadInd', size: 2, src: 7, imm: 1 }, exit], { machine })).toBe(0x0708n)
    expect(runOps([mov(0, 9), { kind: 'loadAbs', size: 4, imm: 5 }, mov(0, 9), exit], { machine })).toBe(0n)
    expect(runOps([mov(7, -3), { kind: 'loadInd', size: 1, src: 7, imm: 1 }, mov(0, 9), exit], { machine })).toBe(0n)
  })
})

describe('fuel', () => {
  test('ends an endless loop', () => {
    const machine = new TestMachine(1000)
    const trap = trapOf(() => runOps([mov(0, 0), alu('add', 0, { imm: 1 }), jump(1)], { machine }))
    expect(trap.insn).toBe(1)
    expect(trap.text).toContain('1000')
  })

  test('is enough for as many iterations', () => {
    const ops = [mov(0, 0), alu('add', 0, { imm: 1 }), branch('lt', 0, { imm: 1000 }, 1), exit]
    expect(runOps(ops, { machine: new TestMachine(1000) })).toBe(1000n)
    expect(trapOf(() => runOps(ops, { machine: new TestMachine(999) })).insn).toBe(1)
  })

  test('is used up by calls of functions', () => {
    const ops = [
      mov(6, 0),
      callLocal(1, 5),
      alu('add', 6, { imm: 1 }),
      branch('lt', 6, { imm: 100 }, 1),
      exit,
      mov(0, 0),
      exit,
    ]
    runOps(ops, { starts: [0, 5], machine: new TestMachine(200) })
    expect(trapOf(() => runOps(ops, { starts: [0, 5], machine: new TestMachine(199) })).insn).toBe(5)
  })

  test('may_goto leaves after eight million rounds', () => {
    const ops: Operation[] = [mov(0, 0), alu('add', 0, { imm: 1 }), { kind: 'mayGoto', target: 4 }, jump(1), exit]
    expect(runOps(ops)).toBe(8388609n)
  })
})

describe('repeat', () => {
  const count = [load(8, 2, 1, 0), alu('add', 2, { imm: 1 }), store(8, 1, 0, 2), alu('mov', 0, 2), exit]

  test('runs again on what the run before left', () => {
    const machine = new TestMachine(0)
    const code = jit.compile(assemble(count), machine)
    code.repeat?.(DATA, 1000)
    expect(machine.reg(0)).toBe(1000n)
    expect(machine.stackTop()).toBe(STACK_TOP)
  })

  test('stops at a trap', () => {
    const machine = new TestMachine()
    machine.helpers.set(1, (n) => {
      if (n === 3n) throw new Trap('call', 'enough')
      return 0n
    })
    const ops = [...count.slice(0, 3), alu('mov', 1, 2), callHelper(1), exit]
    const code = jit.compile(assemble(ops), machine)
    expect(trapOf(() => code.repeat?.(DATA, 10))).toEqual({ insn: 4, text: 'enough' })
  })

  test('counts the tail calls of each run by itself', () => {
    const machine = new TestMachine()
    machine.view.setUint32(TAIL_CALLS_ADDRESS, 33, true)
    const code = jit.compile(assemble([mov(3, 0), callHelper(12), mov(0, 0), exit]), machine)
    code.repeat?.(DATA, 10)
    expect(machine.view.getUint32(TAIL_CALLS_ADDRESS, true)).toBe(0)
  })
})

test('the stack top must leave room for the entry frame', () => {
  const machine = new TestMachine()
  machine.view.setUint32(STACK_TOP_ADDRESS, 0x10000 + 511, true)
  expect(trapOf(() => runOps([mov(0, 0), exit], { machine })).text).toMatch(/nested too deep/)
})
