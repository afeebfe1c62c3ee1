import { describe, expect, test } from 'vitest'
import type { AccessSize, Operation } from '../../../src/isa/index.ts'
import { interpreterEngine } from '../../../src/vm/interpreter/index.ts'
import { jit } from '../../../src/vm/jit/index.ts'
import { STACK_TOP_ADDRESS, type VmCode } from '../../../src/vm/engine.ts'
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
  STACK_TOP,
  store,
  TestMachine,
} from './support.ts'

const SIZES: readonly AccessSize[] = [1, 2, 4, 8]
const PATTERN = 0x8182838485868788n
const OTHER = 0xf1f2f3f4f5f6f7f8n

/** r0 from both engines, which must be the same; frames begin with what was on the stack before. */
function same(ops: readonly Operation[], options: Partial<VmCode> & { starts?: number[] } = {}): bigint {
  const [one, two] = [jit, interpreterEngine].map((engine) => {
    const machine = new TestMachine()
    for (let at = STACK_TOP - 2048; at < STACK_TOP; at++) machine.view.setUint8(at, at * 7 + 1)
    machine.view.setUint32(STACK_TOP_ADDRESS, STACK_TOP, true)
    // Reads 8 bytes at r1.
    machine.helpers.set(200, (at) => machine.view.getBigUint64(Number(at), true))
    // Writes 8 bytes at r1.
    machine.helpers.set(201, (at) => {
      machine.view.setBigUint64(Number(at), OTHER, true)
      return 0n
    })
    engine.compile(assemble(ops, options), machine).run(DATA)
    return machine.reg(0)
  }) as [bigint, bigint]
  expect(one).toBe(two)
  return one
}

const pointer = (register: number, offset: number): Operation[] => [
  alu('mov', register, 10),
  alu('add', register, { imm: offset }),
]

describe('parts of the frame in locals', () => {
  test('take no memory', () => {
    const ops = [mov(2, 5), store(8, 10, -8, 2), load(8, 0, 10, -8), exit]
    const machine = new TestMachine()
    machine.view.setBigUint64(STACK_TOP - 8, PATTERN, true)
    jit.compile(assemble(ops), machine).run(0)
    expect([machine.reg(0), machine.view.getBigUint64(STACK_TOP - 8, true)]).toEqual([5n, PATTERN])
    expect(same(ops)).toBe(5n)
  })

  // Every part of a slot of 8 bytes is written, then every part read.
  const parts = SIZES.flatMap((size) => Array.from({ length: 8 / size }, (_, i) => ({ size, at: -8 + i * size })))
  test.each(parts)('$size bytes at $at written, all parts read', ({ size, at }) => {
    for (const part of parts) {
      for (const signed of part.size < 8 ? [false, true] : [false]) {
        same([
          imm64(2, PATTERN),
          imm64(3, OTHER),
          store(8, 10, -8, 2),
          store(size, 10, at, 3),
          load(part.size, 0, 10, part.at, signed),
          exit,
        ])
      }
    }
  })

  test.each([2, 3, 4, 5, 6, 7, 8])('%i bytes that are written one by one and across', (size) => {
    const ops: Operation[] = [imm64(2, PATTERN), imm64(3, OTHER), mov(0, 0)]
    for (let i = 0; i < size; i++) ops.push(store(1, 10, -16 + i, 2), alu('rsh', 2, { imm: 3 }))
    for (let i = 0; i + 2 <= size; i++) {
      ops.push(load(2, 4, 10, -16 + i, i % 2 === 1), alu('mul', 0, { imm: 31 }), alu('add', 0, 4))
    }
    if (size > 2) ops.push(store(2, 10, -15, 3), load(2, 4, 10, -16), alu('xor', 0, 4))
    same([...ops, exit])
  })

  test('small slots keep only their bytes', () => {
    for (const size of SIZES) {
      for (const signed of size < 8 ? [false, true] : [false]) {
        same([imm64(2, PATTERN), store(size, 10, -size, 2), load(size, 0, 10, -size, signed), exit])
        same([{ kind: 'store', size, dst: 10, off: -8, src: null, imm: -2 }, load(size, 0, 10, -8, signed), exit])
      }
    }
  })

  test('what overlaps over more than 8 bytes is memory', () => {
    same([imm64(2, PATTERN), store(8, 10, -16, 2), store(8, 10, -8, 2), load(8, 0, 10, -12), exit])
  })

  test('what is read before it is written is what was there', () => {
    same([load(8, 0, 10, -8), mov(2, 1), store(8, 10, -8, 2), exit])
    same([mov(2, 1), store(4, 10, -8, 2), load(8, 0, 10, -8), exit])
  })

  test.each([0, 1])('what is written on one way only is read as it was on the other (r2 = %i)', (r2) => {
    same([mov(2, r2), branch('eq', 2, { imm: 0 }, 3), store(8, 10, -8, 2), load(8, 0, 10, -8), exit])
    // On both ways.
    const both = [
      mov(2, r2),
      branch('eq', 2, { imm: 0 }, 4),
      store(8, 10, -8, 2),
      jump(6),
      mov(2, 9),
      store(8, 10, -8, 2),
      load(8, 0, 10, -8),
      exit,
    ]
    expect(same(both)).toBe(r2 === 0 ? 9n : 1n)
  })

  test('a counter that a loop keeps on the stack', () => {
    const ops = [
      mov(0, 0),
      store(8, 10, -8, 0),
      load(4, 2, 10, -8),
      alu('add', 0, 2),
      alu('add', 2, { imm: 1 }),
      store(4, 10, -8, 2),
      branch('lt', 2, { imm: 100 }, 2),
      exit,
    ]
    expect(same(ops)).toBe(4950n)
  })

  test('a loop that writes only later', () => {
    const ops = [
      mov(0, 0),
      mov(3, 0),
      branch('eq', 3, { imm: 0 }, 5),
      load(8, 2, 10, -8),
      alu('add', 0, 2),
      alu('add', 3, { imm: 1 }),
      store(8, 10, -8, 3),
      branch('lt', 3, { imm: 5 }, 2),
      exit,
    ]
    same(ops)
  })

  test('a jump back to the first instruction', () => {
    same([load(8, 0, 10, -8), mov(2, 77), store(8, 10, -8, 2), branch('ne', 0, { imm: 77 }, 0), exit])
  })
})

describe('an address that gets out', () => {
  test('to a helper: what was written is there, and what it writes is read', () => {
    const ops = [imm64(2, PATTERN), store(8, 10, -16, 2), ...pointer(1, -16), callHelper(200), exit]
    expect(same(ops)).toBe(PATTERN)
    const written = [mov(2, 1), store(8, 10, -16, 2), ...pointer(1, -16), callHelper(201), load(8, 0, 10, -16), exit]
    expect(same(written)).toBe(OTHER)
    // Above the address as well.
    const above = [
      mov(2, 1),
      store(8, 10, -16, 2),
      store(4, 10, -12, 2),
      ...pointer(1, -16),
      callHelper(201),
      load(4, 0, 10, -12),
      exit,
    ]
    same(above)
  })

  test('to a helper leaves what is below in locals', () => {
    const ops = [
      mov(2, 1),
      store(8, 10, -24, 2),
      store(8, 10, -8, 2),
      ...pointer(1, -8),
      callHelper(201),
      load(8, 0, 10, -24),
      load(8, 2, 10, -8),
      alu('add', 0, 2),
      exit,
    ]
    expect(same(ops)).toBe(BigInt.asUintN(64, OTHER + 1n))
  })

  test('through a copy in another register', () => {
    const ops = [
      imm64(2, PATTERN),
      store(8, 10, -16, 2),
      ...pointer(7, -16),
      alu('mov', 8, 7),
      alu('mov', 1, 8),
      callHelper(200),
      exit,
    ]
    expect(same(ops)).toBe(PATTERN)
  })

  test('to a function of the program, which goes down from it', () => {
    const ops = [
      imm64(2, PATTERN),
      store(8, 10, -16, 2),
      ...pointer(1, -8),
      callLocal(5, 7),
      exit,
      load(8, 0, 1, -8),
      exit,
    ]
    expect(same(ops, { starts: [0, 7] })).toBe(PATTERN)
  })

  test('to memory and back', () => {
    const ops = [
      imm64(2, PATTERN),
      store(8, 10, -16, 2),
      ...pointer(3, -16),
      store(8, 1, 0, 3),
      load(8, 4, 1, 0),
      load(8, 0, 4, 0),
      exit,
    ]
    expect(same(ops)).toBe(PATTERN)
  })

  test('by exchange', () => {
    const ops: Operation[] = [
      imm64(2, PATTERN),
      store(8, 10, -16, 2),
      ...pointer(3, -16),
      { kind: 'atomic', op: 'xchg', fetch: true, size: 8, dst: 1, src: 3, off: 8 },
      load(8, 4, 1, 8),
      load(8, 0, 4, 0),
      exit,
    ]
    expect(same(ops)).toBe(PATTERN)
  })

  test.each(['add', 'sub', 'or', 'xor'] as const)('with a variable (%s)', (op) => {
    const ops = [
      imm64(2, PATTERN),
      store(8, 10, -16, 2),
      ...pointer(3, -16),
      load(1, 4, 1, 0),
      alu(op, 3, 4),
      load(8, 0, 3, 0),
      exit,
    ]
    expect(same(ops)).toBe(PATTERN)
  })

  test.each([0, 1])('that is one of two (%i)', (which) => {
    const ops = [
      imm64(2, PATTERN),
      imm64(4, OTHER),
      store(8, 10, -16, 2),
      store(8, 10, -8, 4),
      mov(5, which),
      ...pointer(3, -16),
      branch('eq', 5, { imm: 0 }, 12),
      ...pointer(3, -8),
      load(8, 0, 3, 0),
      exit,
    ]
    expect(same(ops)).toBe(which === 0 ? PATTERN : OTHER)
  })

  test('that a loop moves along', () => {
    const ops = [
      mov(2, 3),
      store(8, 10, -24, 2),
      store(8, 10, -16, 2),
      store(8, 10, -8, 2),
      mov(0, 0),
      mov(5, 0),
      ...pointer(3, -24),
      load(8, 4, 3, 0),
      alu('add', 0, 4),
      alu('add', 3, { imm: 8 }),
      alu('add', 5, { imm: 1 }),
      branch('lt', 5, { imm: 3 }, 8),
      exit,
    ]
    expect(same(ops)).toBe(9n)
  })

  test('by an atomic operation on the frame itself', () => {
    const ops: Operation[] = [
      mov(2, 3),
      store(8, 10, -8, 2),
      { kind: 'atomic', op: 'add', fetch: false, size: 8, dst: 10, src: 2, off: -8 },
      load(8, 0, 10, -8),
      exit,
    ]
    expect(same(ops)).toBe(6n)
  })
})
