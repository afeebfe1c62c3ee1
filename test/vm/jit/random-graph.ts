import type { Operation } from '../../../src/isa/index.ts'
import { alu, branch, exit, mov } from './support.ts'

/** Slots of one block of a random graph. */
const BLOCK = 8

/**
 * Blocks that mix their number into r0 and go on to one of two blocks by a bit of it; r7 counts blocks and ends the
 * run, so that any graph is fine.
 */
export function randomGraph(edges: readonly (readonly [number, number])[]): Operation[] {
  const n = edges.length
  const start = (block: number): number => 2 + (block % n) * BLOCK
  const ops: Operation[] = [mov(7, 50), alu('mov', 0, 1)]
  edges.forEach(([a, b], i) => {
    ops.push(
      alu('sub', 7, { imm: 1 }),
      branch('ne', 7, { imm: 0 }, start(i) + 3),
      exit,
      alu('mul', 0, { imm: 0x5bd1e995 }),
      alu('add', 0, { imm: 7919 * (i + 1) }),
      alu('xor', 0, { imm: i }),
      branch('set', 0, { imm: 1 << (8 + (i % 16)) }, start(a)),
      { kind: 'jump', target: start(b), long: true },
    )
  })
  return ops
}
