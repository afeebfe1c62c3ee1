import { describe, expect, test } from 'vitest'
import type { AccessSize, AluOp, AtomicOp, BranchOp, Operation } from '../../../src/isa/index.ts'
import { isBpfError } from '../../../src/bytes/index.ts'
import type { VmCode } from '../../../src/vm/engine.ts'
import { interpreterEngine } from '../../../src/vm/interpreter/index.ts'
import { jit } from '../../../src/vm/jit/index.ts'
import { DATA, TestMachine, alu, assemble, exit, imm64, load } from '../jit/support.ts'
import { EDGES } from '../jit/values.ts'

const ALU: readonly AluOp[] = [
  ...(['add', 'sub', 'mul', 'div', 'sdiv', 'mod', 'smod', 'or', 'and', 'xor', 'lsh', 'rsh', 'arsh'] as const),
  ...(['neg', 'mov', 'movsx8', 'movsx16', 'movsx32'] as const),
]
const BRANCHES: readonly BranchOp[] = ['eq', 'ne', 'gt', 'ge', 'lt', 'le', 'set', 'sgt', 'sge', 'slt', 'sle']
const ATOMICS: readonly AtomicOp[] = ['add', 'or', 'and', 'xor', 'xchg', 'cmpxchg']

/** Small, seeded generator. */
function random(seed: number): (below: number) => number {
  let state = seed | 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

interface Outcome {
  readonly r0: bigint | string
  readonly memory: number
}

function checksum(words: Uint32Array): number {
  let sum = 0
  for (const word of words) sum = (Math.imul(sum, 31) + word) | 0
  return sum
}

function run(engine: typeof jit, code: VmCode, data: Uint8Array): Outcome {
  const machine = new TestMachine(100_000)
  new Uint8Array(machine.memory.buffer).set(data, DATA)
  machine.packet = data
  let r0: bigint | string
  try {
    engine.compile(code, machine).run(DATA)
    r0 = machine.reg(0)
  } catch (error) {
    if (!isBpfError(error)) throw error
    r0 = `${error.code} at ${error.where.insn}`
  }
  // Frames that are gone are nobody's business.
  return { r0, memory: checksum(new Uint32Array(machine.memory.buffer, DATA)) }
}

function expectSame(code: VmCode, data: Uint8Array): Outcome {
  const interpreted = run(interpreterEngine, code, data)
  const compiled = run(jit, code, data)
  expect(interpreted.r0).toEqual(compiled.r0)
  expect(interpreted.memory).toBe(compiled.memory)
  return interpreted
}

describe('the interpreter computes what the JIT does', () => {
  // Both operands come from memory, so that one compiled program serves all pairs.
  const pairs = EDGES.flatMap((a) => EDGES.map((b) => [a, b] as const))

  function overPairs(ops: readonly Operation[]): void {
    const machines = [interpreterEngine, jit].map((engine) => {
      const machine = new TestMachine()
      return { machine, code: engine.compile(assemble(ops), machine) }
    })
    for (const [a, b] of pairs) {
      const results = machines.map(({ machine, code }) => {
        machine.view.setBigUint64(DATA, a, true)
        machine.view.setBigUint64(DATA + 8, b, true)
        code.run(DATA)
        return machine.reg(0)
      })
      if (results[0] !== results[1]) expect({ a, b, r0: results[0] }).toEqual({ a, b, r0: results[1] })
    }
  }
  const operands = [load(8, 2, 1, 0), load(8, 3, 1, 8)]
  const result = (register: number): Operation[] => [alu('mov', 0, register), exit]

  const variants = ALU.flatMap((op) =>
    [true, false].filter((wide) => wide || op !== 'movsx32').map((wide) => ({ op, wide })),
  )
  test.each(variants)('$op, 64 bits: $wide', ({ op, wide }) => {
    overPairs([...operands, alu(op, 2, op === 'neg' ? { imm: 0 } : 3, wide), ...result(2)])
  })

  test.each(BRANCHES.flatMap((op) => [true, false].map((wide) => ({ op, wide }))))(
    'branch $op, 64 bits: $wide',
    ({ op, wide }) => {
      overPairs([
        ...operands,
        alu('mov', 0, { imm: 1 }),
        { kind: 'branch', op, wide, dst: 2, src: 3, imm: 0, target: 5 },
        alu('mov', 0, { imm: 0 }),
        exit,
      ])
    },
  )

  test.each((['le', 'be', 'bswap'] as const).flatMap((op) => ([16, 32, 64] as const).map((bits) => ({ op, bits }))))(
    '$op$bits',
    ({ op, bits }) => {
      overPairs([...operands, { kind: 'endian', op, bits, dst: 2 }, ...result(2)])
    },
  )

  test.each(
    ATOMICS.flatMap((op) => ([4, 8] as const).flatMap((size) => [true, false].map((fetch) => ({ op, size, fetch })))),
  )('atomic $op, $size bytes, fetch: $fetch', ({ op, size, fetch }) => {
    if (!fetch && (op === 'xchg' || op === 'cmpxchg')) return
    overPairs([
      ...operands,
      alu('mov', 0, 3),
      { kind: 'atomic', op, fetch, size, dst: 1, src: 3, off: 0 },
      load(8, 4, 1, 0),
      alu('xor', 0, 3),
      alu('mul', 0, { imm: 31 }),
      alu('add', 0, 4),
      exit,
    ])
  })
})

/** A random program of forward branches, whose memory accesses hit the stack, the data, or sometimes nothing. */
function randomProgram(seed: number): VmCode {
  const pick = random(seed)
  const length = 30 + pick(60)
  const ops: Operation[] = []
  const sizes: readonly AccessSize[] = [1, 2, 4, 8]
  for (let r = 2; r < 10; r++) ops.push(imm64(r, EDGES[pick(EDGES.length)] as bigint))
  const prologue = ops.length
  const slot = (index: number): number => prologue * 2 + index
  // Registers 6 and 1 stay pointers (to data), others are numbers.
  const register = (): number => [0, 2, 3, 4, 5, 7, 8, 9][pick(8)] as number
  ops.push(alu('mov', 0, { imm: 0 }), alu('mov', 6, 1))
  // On the stack, what overlaps anywhere, or slots of 8 bytes that are written as a whole first, or not.
  const inSlots = pick(3)
  if (inSlots === 2) {
    for (let at = -8; at >= -32; at -= 8)
      ops.push({ kind: 'store', size: 8, dst: 10, off: at, src: register(), imm: 0 })
  }
  const written = ops.length - prologue
  for (let i = written; i < length; i++) {
    const off = pick(60)
    const size = sizes[pick(4)] as AccessSize
    const base = pick(2) === 0 ? 6 : 10
    let at = off
    if (base === 10) at = inSlots === 0 ? off - 80 : -8 * (1 + pick(4)) + size * pick(8 / size)
    switch (pick(12)) {
      case 0:
      case 1:
      case 2: {
        const op = ALU[pick(ALU.length)] as AluOp
        const wide = op === 'movsx32' || pick(2) === 0
        const immediate = op === 'neg' || (!op.startsWith('movsx') && pick(2) === 0)
        ops.push(alu(op, register(), immediate ? { imm: op === 'neg' ? 0 : pick(200) - 100 } : register(), wide))
        break
      }
      case 3:
      case 4:
        ops.push(load(size, register(), base, at, size < 8 && pick(2) === 0))
        break
      case 5:
      case 6:
        ops.push(
          pick(2) === 0
            ? { kind: 'store', size, dst: base, off: at, src: register(), imm: 0 }
            : { kind: 'store', size, dst: base, off: at, src: null, imm: pick(1 << 30) - (1 << 29) },
        )
        break
      case 7:
        ops.push({
          kind: 'atomic',
          op: ATOMICS[pick(ATOMICS.length)] as AtomicOp,
          fetch: true,
          size: pick(2) === 0 ? 4 : 8,
          dst: base,
          src: register(),
          off: at,
        })
        break
      case 8:
        ops.push({ kind: 'loadAbs', size: 4, imm: pick(80) })
        break
      case 9:
        ops.push({
          kind: 'endian',
          op: pick(2) === 0 ? 'be' : 'bswap',
          bits: ([16, 32, 64] as const)[pick(3)] ?? 64,
          dst: register(),
        })
        break
      default:
        ops.push({
          kind: 'branch',
          op: BRANCHES[pick(BRANCHES.length)] as BranchOp,
          wide: pick(2) === 0,
          dst: register(),
          src: pick(2) === 0 ? register() : null,
          imm: 0,
          target: slot(Math.min(length, i + 1 + pick(8))),
        })
    }
  }
  ops.push(exit)
  return assemble(ops)
}

describe('random programs', () => {
  test.each(Array.from({ length: 10 }, (_, i) => i))('group %i: same r0 and memory as the JIT', (group) => {
    let finished = 0
    for (let i = 0; i < 40; i++) {
      const seed = group * 1000 + i + 1
      const pick = random(seed * 77)
      const data = Uint8Array.from({ length: 96 }, () => pick(256))
      const outcome = expectSame(randomProgram(seed), data)
      if (typeof outcome.r0 === 'bigint') finished++
    }
    expect(finished).toBeGreaterThan(20)
  })
})

describe('what a verifier lets nobody do', () => {
  test.each([
    ['a write of r10', [alu('mov', 10, { imm: 1 }), exit], 'trap at 4'],
    [
      'callx of a helper',
      [alu('mov', 1, { imm: 5 }), { kind: 'call', call: 'register', imm: 0, off: 0, src: 7 } as const, exit],
      35n,
    ],
    ['callx of no helper', [{ kind: 'call', call: 'register', imm: 0, off: 0, src: 8 } as const, exit], 'trap at 4'],
    [
      'callx of a number above 32 bits',
      [{ kind: 'call', call: 'register', imm: 0, off: 0, src: 9 } as const, exit],
      'trap at 4',
    ],
    ['callx of r10', [{ kind: 'call', call: 'register', imm: 0, off: 0, src: 10 } as const, exit], 'trap at 4'],
  ])('%s', (_, rest, expected) => {
    const ops = [alu('mov', 7, { imm: 77 }), alu('mov', 8, { imm: 78 }), imm64(9, (1n << 32n) + 77n), ...rest]
    for (const engine of [interpreterEngine, jit]) {
      const machine = new TestMachine()
      machine.helpers.set(77, (a) => a * 7n)
      let got: unknown
      try {
        engine.compile(assemble(ops), machine).run(DATA)
        got = machine.reg(0)
      } catch (error) {
        if (!isBpfError(error)) throw error
        got = `${error.code} at ${error.where.insn}`
      }
      expect(got).toEqual(expected)
    }
  })
})
