import { describe, expect, test } from 'vitest'
import { isBpfError } from '../../../src/bytes/index.ts'
import { GUARD_SIZE } from '../../../src/vm/engine.ts'
import type { AtomicOp, Operation } from '../../../src/isa/index.ts'
import { jit } from '../../../src/vm/jit/index.ts'
import { atomicModel } from './model.ts'
import {
  alu,
  assemble,
  branch,
  DATA,
  exit,
  imm64,
  load,
  MEMORY_END,
  mov,
  runOps,
  store,
  TestMachine,
} from './support.ts'
import { EDGES } from './values.ts'

const SIZES = [1, 2, 4, 8] as const

/** The error of a run that must trap. */
function trapOf(
  ops: readonly Operation[],
  options: Parameters<typeof runOps>[1] = {},
): { insn: unknown; text: string } {
  try {
    runOps(ops, options)
  } catch (error) {
    if (isBpfError(error) && error.code === 'trap') return { insn: error.where.insn, text: error.message }
    throw error
  }
  throw new Error('the run did not trap')
}

describe('loads and stores', () => {
  for (const size of SIZES) {
    test(`${size} bytes, at any alignment`, () => {
      const machine = new TestMachine()
      for (let i = 0; i < 32; i++) machine.view.setUint8(DATA + i, 0x80 + 7 * i)
      for (const off of [0, 1, 3, 8, 13]) {
        for (const signed of [false, true]) {
          if (signed && size === 8) continue
          let expected = 0n
          for (let i = size - 1; i >= 0; i--) expected = (expected << 8n) | BigInt((0x80 + 7 * (off + i)) & 0xff)
          if (signed) expected = BigInt.asUintN(64, BigInt.asIntN(size * 8, expected))
          expect(runOps([load(size, 0, 1, off, signed), exit], { machine, ctx: DATA })).toBe(expected)
        }
        expect(runOps([{ kind: 'loadAcquire', size, dst: 0, src: 1, off }, exit], { machine, ctx: DATA })).toBe(
          runOps([load(size, 0, 1, off), exit], { machine, ctx: DATA }),
        )
      }
    })

    test(`stores of ${size} bytes change nothing else`, () => {
      const value = 0x1122334455667788n
      const stores: Operation[] = [
        store(size, 1, 9, 2),
        { kind: 'storeRelease', size, dst: 1, src: 2, off: 9 },
        { kind: 'store', size, dst: 1, off: 9, src: null, imm: -2 },
      ]
      for (const [i, op] of stores.entries()) {
        const machine = new TestMachine()
        new Uint8Array(machine.memory.buffer).fill(0xee, DATA, DATA + 32)
        runOps([imm64(2, value), op, exit], { machine, ctx: DATA })
        const expected = new Uint8Array(32).fill(0xee)
        const bits = i === 2 ? BigInt.asUintN(64, -2n) : value
        for (let b = 0; b < size; b++) expected[9 + b] = Number((bits >> BigInt(8 * b)) & 0xffn)
        expect(new Uint8Array(machine.memory.buffer, DATA, 32)).toEqual(expected)
      }
    })

    test(`bounds of ${size} bytes`, () => {
      const machine = new TestMachine()
      const read = [load(size, 0, 1, 0), exit]
      expect(runOps(read, { machine, ctx: GUARD_SIZE })).toBe(0n)
      expect(runOps(read, { machine, ctx: MEMORY_END - size })).toBe(0n)
      for (const ctx of [0, 8, GUARD_SIZE - 9, MEMORY_END - size + 1, MEMORY_END, 0xffffffff]) {
        const trap = trapOf(read, { machine, ctx })
        expect(trap.insn).toBe(0)
        expect(trap.text).toContain(`read of ${size} bytes at address 0x${ctx.toString(16)} (r1 + 0)`)
      }
    })

    test(`addresses of 64 bits, ${size} bytes`, () => {
      for (const high of [1n << 32n, 1n << 63n, 0xffffffff00000000n]) {
        const trap = trapOf([imm64(2, high + BigInt(DATA)), mov(3, 0), store(size, 2, 16, 3), exit])
        expect(trap.insn).toBe(3)
        expect(trap.text).toContain(`write of ${size} bytes at address 0x${(high + BigInt(DATA) + 16n).toString(16)}`)
      }
      // What a negative offset brings back into the memory is fine.
      expect(runOps([imm64(2, BigInt(MEMORY_END)), load(size, 0, 2, -8), exit])).toBe(0n)
    })
  }

  test('the stack frame, by r10 and by copies of it', () => {
    const ops = [
      imm64(2, 0x1234567890n),
      store(8, 10, -8, 2),
      alu('mov', 3, 10),
      alu('add', 3, { imm: -512 }),
      store(8, 3, 0, 2),
      load(4, 0, 3, 504),
      load(8, 4, 10, -512),
      alu('add', 0, 4),
      exit,
    ]
    expect(runOps(ops)).toBe(0x34567890n + 0x1234567890n)
  })

  test('r10 beyond its frame is checked like any address', () => {
    const machine = new TestMachine()
    machine.view.setUint32(1016, MEMORY_END, true)
    expect(trapOf([load(1, 0, 10, 0), exit], { machine }).insn).toBe(0)
    expect(runOps([load(8, 0, 10, -8), exit], { machine })).toBe(0n)
  })

  test('faulting loads read zero where the program asks for it, stores trap', () => {
    const options = { faultReadsZero: true }
    expect(runOps([mov(0, 5), imm64(1, 0xffff888000000000n), load(8, 0, 1, 4), exit], options)).toBe(0n)
    expect(runOps([mov(0, 5), load(4, 0, 10, -4), exit], options)).toBe(0n)
    expect(trapOf([imm64(1, 0xffff888000000000n), store(8, 1, 0, 1), exit], options).insn).toBe(2)
  })

  test('constant addresses', () => {
    const value = 0x1122334455667788n
    const at = (address: number | bigint, off: number): Operation[] => [
      imm64(2, BigInt(address)),
      imm64(3, value),
      store(8, 2, off, 3),
      load(8, 0, 2, off),
      exit,
    ]
    expect(runOps(at(DATA, 16))).toBe(value)
    expect(runOps(at(MEMORY_END, -8))).toBe(value)
    expect(trapOf(at(MEMORY_END, -7)).insn).toBe(4)
    expect(trapOf(at(8, 0)).insn).toBe(4)
    expect(trapOf(at((1n << 32n) + BigInt(DATA), 0)).insn).toBe(4)
    expect(trapOf(at(-8n, 0)).text).toContain('0xfffffffffffffff8')
  })

  test('what is known of a register ends with its next value', () => {
    const machine = new TestMachine()
    machine.view.setUint32(DATA + 8, 5, true)
    machine.view.setUint32(DATA + 24, 7, true)
    const ops = [
      imm64(2, BigInt(DATA)),
      alu('add', 2, { imm: 8 }),
      load(4, 0, 2, 0),
      alu('add', 2, 1),
      load(4, 3, 2, 0),
      alu('add', 0, 3),
      // A block with two ways to it: r2 is no constant there.
      imm64(2, BigInt(DATA)),
      branch('eq', 1, { imm: 16 }, 12),
      imm64(2, 0n),
      load(4, 3, 2, 24),
      alu('add', 0, 3),
      exit,
    ]
    expect(runOps(ops, { machine, ctx: 16 })).toBe(19n)
    expect(trapOf(ops, { machine, ctx: 0 }).insn).toBe(12)
  })

  test('a frame pointer that leaves its frame is checked', () => {
    const ops = [alu('mov', 2, 10), alu('add', 2, { imm: -600 }), load(8, 0, 2, 0), exit]
    const machine = new TestMachine()
    machine.view.setUint32(1016, GUARD_SIZE + 584, true)
    expect(trapOf(ops, { machine }).insn).toBe(2)
    machine.view.setUint32(1016, GUARD_SIZE + 600, true)
    expect(runOps(ops, { machine })).toBe(0n)
  })

  test('memory that grew in a helper is in bounds', () => {
    const machine = new TestMachine()
    machine.helpers.set(1, () => BigInt(machine.memory.grow(1) * 65536))
    const ops: Operation[] = [
      { kind: 'call', call: 'helper', imm: 1, off: 0 },
      alu('mov', 6, 0),
      mov(2, 77),
      alu('add', 6, { imm: 65528 }),
      store(8, 6, 0, 2),
      load(8, 0, 6, 0),
      exit,
    ]
    expect(runOps(ops, { machine })).toBe(77n)
  })

  test('a trap names the program and the C line', () => {
    const lines = [
      { insn: 0, file: 'a.c', line: 3, column: 1, text: 'int x = 0;', fileOffset: 0, textOffset: 0 },
      { insn: 2, file: 'a.c', line: 4, column: 1, text: '  return *p;', fileOffset: 0, textOffset: 0 },
    ]
    const code = assemble([mov(0, 0), mov(2, 0), load(4, 0, 2, 8), exit], { name: 'prog', lines })
    let caught: unknown
    try {
      jit.compile(code, new TestMachine()).run(0)
    } catch (error) {
      caught = error
    }
    expect(caught).toMatchObject({
      code: 'trap',
      where: { program: 'prog', insn: 2, sourceLine: 'a.c:4: return *p;' },
    })
  })
})

describe('atomics', () => {
  const OPS: readonly AtomicOp[] = ['add', 'or', 'and', 'xor', 'xchg', 'cmpxchg']
  for (const op of OPS) {
    for (const size of [4, 8] as const) {
      for (const fetch of op === 'xchg' || op === 'cmpxchg' ? [true] : [false, true]) {
        test(`${op} of ${size} bytes${fetch ? ' with fetch' : ''}`, () => {
          const machine = new TestMachine()
          const code = assemble([
            alu('mov', 6, 1),
            load(8, 0, 6, 8),
            load(8, 7, 6, 16),
            { kind: 'atomic', op, fetch, size, dst: 6, src: 7, off: 24 },
            store(8, 6, 8, 0),
            store(8, 6, 16, 7),
            exit,
          ])
          const compiled = jit.compile(code, machine)
          const { view } = machine
          const wrong: unknown[] = []
          for (const memory of EDGES) {
            for (const src of EDGES) {
              for (const r0 of [memory, BigInt.asUintN(32, memory), src, 0n]) {
                view.setBigUint64(DATA + 8, r0, true)
                view.setBigUint64(DATA + 16, src, true)
                view.setBigUint64(DATA + 24, memory, true)
                compiled.run(DATA)
                const got = {
                  memory: view.getBigUint64(DATA + 24, true),
                  src: view.getBigUint64(DATA + 16, true),
                  r0: view.getBigUint64(DATA + 8, true),
                }
                const expected = atomicModel(op, fetch, size, { memory, src, r0 })
                if (got.memory !== expected.memory || got.src !== expected.src || got.r0 !== expected.r0) {
                  wrong.push({ memory, src, r0, got, expected })
                }
              }
            }
          }
          expect(wrong).toEqual([])
        })
      }
    }
  }

  test('source and base in the same register', () => {
    const machine = new TestMachine()
    machine.view.setBigUint64(DATA, 1n, true)
    const op: Operation = { kind: 'atomic', op: 'add', fetch: true, size: 8, dst: 1, src: 1, off: 0 }
    expect(runOps([op, alu('mov', 0, 1), exit], { machine, ctx: DATA })).toBe(1n)
    expect(machine.view.getBigUint64(DATA, true)).toBe(BigInt(DATA) + 1n)
  })

  test('out of bounds', () => {
    const op: Operation = { kind: 'atomic', op: 'xchg', fetch: true, size: 8, dst: 1, src: 2, off: 0 }
    const trap = trapOf([mov(2, 0), op, exit], { ctx: 16 })
    expect(trap.insn).toBe(1)
    expect(trap.text).toContain('write of 8 bytes at address 0x10')
  })

  test('r10 cannot be written', () => {
    const ops: Operation[] = [
      mov(10, 0),
      imm64(10, 1n),
      load(8, 10, 1, 0),
      { kind: 'endian', op: 'be', bits: 16, dst: 10 },
      { kind: 'atomic', op: 'xchg', fetch: true, size: 8, dst: 1, src: 10, off: 0 },
    ]
    for (const op of ops) {
      const trap = trapOf([mov(0, 0), op, exit], { ctx: DATA })
      expect([trap.insn, trap.text]).toEqual([1, expect.stringContaining('writes r10, which is read-only')])
      // Where control does not get, there is no harm.
      expect(runOps([mov(0, 7), branch('eq', 0, { imm: 7 }, op.kind === 'loadImm64' ? 4 : 3), op, exit])).toBe(7n)
    }
  })
})
