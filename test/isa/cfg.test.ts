import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { buildCfg, encode, functions, InsnBuffer, type Cfg, type Operation } from '../../src/isa/index.ts'
import { isBpfError } from '../../src/bytes/index.ts'
import { thrown } from '../support/thrown.ts'

/** A program from a short text: `x` other, `e` exit, `jN` jump to slot N, `bN` branch to slot N. */
function program(text: string): InsnBuffer {
  const words = text.trim().split(/\s+/)
  const insns = new InsnBuffer(words.length)
  words.forEach((word, at) => {
    const target = Number(word.slice(1))
    const op: Operation =
      word[0] === 'e'
        ? { kind: 'exit' }
        : word[0] === 'j'
          ? { kind: 'jump', target }
          : word[0] === 'b'
            ? { kind: 'branch', op: 'eq', wide: true, dst: 1, src: null, imm: 0, target }
            : { kind: 'alu', op: 'mov', wide: true, dst: 0, src: null, imm: 0 }
    encode(op, insns, at)
  })
  return insns
}

const cfgOf = (text: string): Cfg => {
  const insns = program(text)
  return buildCfg(insns, 0, insns.length)
}

/** Blocks that the entry reaches when `without` is removed. */
function reach(cfg: Cfg, without: number): Set<number> {
  const seen = new Set<number>()
  const stack = without === 0 ? [] : [0]
  for (let b = stack.pop(); b !== undefined; b = stack.pop()) {
    if (seen.has(b)) continue
    seen.add(b)
    for (const s of cfg.blocks[b]?.succs ?? []) if (s !== without) stack.push(s)
  }
  return seen
}

/** Random functions: one letter a slot, any target, exit last. */
const randomProgram = fc
  .array(fc.tuple(fc.constantFrom('x', 'b', 'b', 'b', 'j', 'e'), fc.nat(39)), { minLength: 1, maxLength: 40 })
  .map((words) => [...words.map(([w, t]) => `${w}${t % (words.length + 1)}`), 'e'].join(' '))

describe('buildCfg', () => {
  test('a straight line is one block', () => {
    const cfg = cfgOf('x x e')
    expect(cfg.blocks).toEqual([{ start: 0, end: 3, succs: [], preds: [] }])
    expect(cfg.reducible).toBe(true)
  })

  test('an if-else joins below its condition', () => {
    const cfg = cfgOf('b3 x j4 x e')
    expect(cfg.blocks.map((b) => b.succs)).toEqual([[1, 2], [3], [3], []])
    expect([...cfg.idom]).toEqual([-1, 0, 0, 0])
  })

  test('nested loops have their headers and depths', () => {
    const cfg = cfgOf('x x b2 b1 e')
    expect([...cfg.loopOf]).toEqual([-1, 1, 2, 1, -1])
    expect([...cfg.isLoopHeader]).toEqual([0, 1, 1, 0, 0])
    expect([...cfg.loopDepth]).toEqual([0, 1, 2, 1, 0])
    expect(cfg.outerLoop[2]).toBe(1)
    expect(cfg.reducible).toBe(true)
  })

  test('a loop with two entries is irreducible', () => {
    const cfg = cfgOf('b2 x b1 e')
    expect(cfg.reducible).toBe(false)
    expect(cfg.irreducible.map((part) => [...part])).toEqual([[1, 2]])
  })

  test('refuses jumps and ends that leave the function', () => {
    expect(thrown(() => cfgOf('j7 e')).message).toBe("jump to slot 7, outside of the function's slots 0 to 1")
    expect(thrown(() => cfgOf('x b0')).message).toBe('last instruction is neither exit nor an unconditional jump')
    const insns = program('b2 x x e')
    encode({ kind: 'loadImm64', dst: 1, pseudo: 0, low: 0, high: 0 }, insns, 1)
    const error = thrown(() => buildCfg(insns, 0, 4))
    expect(error.message).toBe('jump to slot 2, the second half of a 64-bit immediate')
    expect(error.where.insn).toBe(2)
  })

  test('dominators, loops and reducibility agree with their definitions on random graphs', () => {
    fc.assert(
      fc.property(randomProgram, (text) => {
        const cfg = cfgOf(text)
        const all = reach(cfg, -1)
        expect(new Set(cfg.reversePostorder)).toEqual(all)
        const without = cfg.blocks.map((_, b) => reach(cfg, b))
        const dominates = (a: number, b: number): boolean => all.has(b) && all.has(a) && !without[a]?.has(b)
        for (const a of all) {
          for (const b of all) expect(cfg.dominates(a, b)).toBe(dominates(a, b))
          // The immediate dominator is the strict dominator that all other strict dominators dominate.
          const strict = [...all].filter((d) => d !== a && dominates(d, a))
          const idom = strict.find((d) => strict.every((other) => dominates(other, d))) ?? -1
          expect(cfg.idom[a]).toBe(idom)
        }
        // Natural loops by definition: what reaches a back edge's source without passing the header.
        const loops = new Map<number, Set<number>>()
        let retreatingIsBack = true
        for (const b of all) {
          for (const s of cfg.blocks[b]?.succs ?? []) {
            if (!dominates(s, b)) {
              if ((cfg.order[s] as number) <= (cfg.order[b] as number)) retreatingIsBack = false
              continue
            }
            const body = loops.get(s) ?? new Set([s])
            const stack = [b]
            for (let x = stack.pop(); x !== undefined; x = stack.pop()) {
              if (body.has(x)) continue
              body.add(x)
              stack.push(...(cfg.blocks[x]?.preds ?? []).filter((p) => all.has(p)))
            }
            loops.set(s, body)
          }
        }
        expect(cfg.reducible).toBe(retreatingIsBack)
        expect(cfg.reducible).toBe(cfg.irreducible.length === 0)
        for (const b of all) {
          const around = [...loops].filter(([, body]) => body.has(b)).sort((x, y) => x[1].size - y[1].size)
          expect(cfg.loopOf[b]).toBe(around[0]?.[0] ?? -1)
          expect(cfg.loopDepth[b]).toBe(around.length)
          expect(cfg.isLoopHeader[b]).toBe(loops.has(b) ? 1 : 0)
          if (loops.has(b)) expect(cfg.outerLoop[b]).toBe(around[1]?.[0] ?? -1)
        }
      }),
      { numRuns: 1500 },
    )
  })

  test('a million instructions take bounded time, error ladders and deep nests alike', () => {
    const n = 1_000_000
    const ladder = new InsnBuffer(n)
    const nest = new InsnBuffer(n)
    for (let i = 0; i < n - 1; i++) {
      // Every slot branches to the end of its stretch of 30,000.
      ladder.code[i] = 0x15
      ladder.off[i] = Math.min(i - (i % 30_000) + 30_000, n - 1) - i - 1
      // Stretches of plain instructions and, after each, as many backward branches around its middle: loops in loops.
      const k = (i % 60_000) - 30_000
      nest.code[i] = k < 0 ? 0xb7 : 0x15
      nest.off[i] = k < 0 ? 0 : -Math.min(2 * k + 1, 30_000) - 1
    }
    for (const insns of [ladder, nest]) {
      insns.code[n - 1] = 0x95
      const before = performance.now()
      const cfg = buildCfg(insns, 0, n)
      expect(cfg.blocks.length).toBeGreaterThan(400_000)
      expect(performance.now() - before).toBeLessThan(15_000)
    }
  })

  test('any instructions give a graph or a BpfError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 160 }), (bytes) => {
        const insns = InsnBuffer.fromBytes(bytes.slice(0, bytes.length & ~7))
        for (const work of [() => buildCfg(insns, 0, insns.length), () => functions(insns)]) {
          try {
            work()
          } catch (error) {
            if (!isBpfError(error)) throw error
          }
        }
      }),
      { numRuns: 5000 },
    )
  })
})

describe('functions', () => {
  test('finds the targets of calls and of function pointers', () => {
    const insns = program('x x x x e x e x e')
    encode({ kind: 'call', call: 'local', imm: 0, off: 0, target: 5 }, insns, 0)
    encode({ kind: 'loadImm64', dst: 1, pseudo: 4, low: 5, high: 0 }, insns, 1)
    expect(functions(insns)).toEqual([
      { start: 0, end: 5 },
      { start: 5, end: 7 },
      { start: 7, end: 9 },
    ])
  })

  test('refuses a call out of the program', () => {
    const insns = program('x e')
    encode({ kind: 'call', call: 'local', imm: 0, off: 0, target: 9 }, insns, 0)
    expect(thrown(() => functions(insns)).message).toBe("function at slot 9 is outside of the program's 2 slots")
  })
})

test('a jump to the slot before the first is refused, as any other out of the function', () => {
  expect(thrown(() => cfgOf('x j-1 e')).code).toBe('malformed')
})
