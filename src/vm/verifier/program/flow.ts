import { LdImm64Pseudo, type Operation } from '../../../isa/index.ts'
import { invalid } from '../reject.ts'
import type { Operations } from './layout.ts'

/** What the walk needs to know of each slot beforehand. */
export interface Flow {
  /** States are compared and kept here. */
  readonly prune: Uint8Array
  /** The way here is recorded for backtracking. */
  readonly jump: Uint8Array
  /** A state is kept here whatever the heuristics say. */
  readonly checkpoint: Uint8Array
  /** Strongly connected component of more than one slot, 0 for none. */
  readonly scc: Int32Array
}

/** Calls that need more than falling through. */
export interface CallMarks {
  /** Calls its callback while it runs (bpf_loop). */
  isSyncCallback(at: number): boolean
  /** Registers a callback for later (bpf_timer_set_callback). */
  isAsyncCallback(at: number): boolean
  /** Next element of an open-coded iterator. */
  isIterNext(at: number): boolean
  /** Ends the program: bpf_throw. */
  isThrow(at: number): boolean
  /** Last slot of its function. */
  endsFunction(at: number): boolean
}

/** Slots that control may reach after slot `at`, without entering callees. */
export function successors(ops: Operations, at: number, calls: CallMarks): readonly number[] {
  const op = ops[at] as Operation
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (op.kind) {
    case 'exit':
      return []
    case 'jump':
      return [op.target]
    case 'branch':
    case 'mayGoto':
      return [at + 1, op.target]
    case 'loadImm64':
      return [at + 2]
    case 'call':
      return op.call === 'kfunc' && calls.isThrow(at) && calls.endsFunction(at) ? [] : [at + 1]
    default:
      return [at + 1]
  }
}

/** Marks where states are kept, and refuses unreachable code and jumps into the middle of an instruction. */
export function analyzeFlow(ops: Operations, roots: readonly number[], calls: CallMarks): Flow {
  const n = ops.length
  const prune = new Uint8Array(n)
  const jump = new Uint8Array(n)
  const checkpoint = new Uint8Array(n)
  const seen = new Uint8Array(n)
  const work = [...roots]
  const mark = (at: number): void => {
    if (at >= n) return
    prune[at] = 1
    jump[at] = 1
  }
  while (work.length > 0) {
    const at = work.pop() as number
    if (at >= n) invalid(`fell off the end of the program at insn ${at}`)
    if (seen[at] === 1) continue
    seen[at] = 1
    const op = ops[at]
    if (op === null || op === undefined) return invalid(`jump into the middle of ldimm64 insn ${at - 1}`)
    // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
    switch (op.kind) {
      case 'jump':
        mark(op.target)
        break
      case 'branch':
        prune[at] = 1
        mark(op.target)
        break
      case 'mayGoto':
        prune[at] = 1
        checkpoint[at] = 1
        mark(op.target)
        break
      case 'call':
        if (op.call === 'local') {
          prune[at] = 1
          mark(at + 1)
          mark(op.target)
          work.push(op.target)
        } else if (calls.isSyncCallback(at)) {
          mark(at)
          checkpoint[at] = 1
          mark(at + 1)
        } else if (calls.isAsyncCallback(at)) {
          prune[at] = 1
          mark(at + 1)
        } else if (calls.isIterNext(at)) {
          prune[at] = 1
          checkpoint[at] = 1
          mark(at + 1)
        } else {
          mark(at + 1)
        }
        break
      case 'loadImm64':
        if (op.pseudo !== LdImm64Pseudo.FUNC) break
        prune[at] = 1
        mark(at + 2)
        mark(at + 1 + op.low)
        work.push(at + 1 + op.low)
        break
    }
    for (const next of successors(ops, at, calls)) work.push(next)
  }
  for (let i = 0; i < n; i++) {
    if (seen[i] === 0 && ops[i] !== null) invalid(`unreachable insn ${i}`)
  }
  return { prune, jump, checkpoint, scc: components(ops, calls) }
}

/**
 * Strongly connected components by Tarjan's algorithm as Pearce simplified it, without recursion, in the order in which
 * the kernel numbers them. Functions do not lead into each other.
 */
function components(ops: Operations, calls: CallMarks): Int32Array {
  const n = ops.length
  const order = new Int32Array(n)
  const low = new Int32Array(n)
  const scc = new Int32Array(n)
  const stack: number[] = []
  const path: number[] = []
  let counter = 0
  let found = 0
  for (let root = 0; root < n; root++) {
    if (order[root] !== 0 || ops[root] === null) continue
    path.push(root)
    while (path.length > 0) {
      const at = path[path.length - 1] as number
      if (order[at] === 0) {
        order[at] = low[at] = ++counter
        stack.push(at)
      }
      const next = successors(ops, at, calls)
      const open = next.find((to) => to < n && order[to] === 0)
      for (const to of next) {
        if (to === open || to >= n) break
        low[at] = Math.min(low[at] as number, low[to] as number)
      }
      if (open !== undefined) {
        path.push(open)
        continue
      }
      path.pop()
      if ((low[at] as number) < (order[at] as number)) continue
      const isLoop = stack[stack.length - 1] !== at || next.includes(at)
      if (isLoop) found++
      for (;;) {
        const member = stack.pop() as number
        low[member] = n + 1
        if (isLoop) scc[member] = found
        if (member === at) break
      }
    }
  }
  return scc
}

/** Slots of a function in the order in which the kernel spreads facts backwards: mostly after those they lead to. */
export function postorder(next: readonly (readonly number[])[], start: number): number[] {
  const found = new Set<number>([start])
  const explored = new Set<number>()
  const stack = [start]
  const order: number[] = []
  while (stack.length > 0) {
    const at = stack[stack.length - 1] as number
    if (explored.has(at)) {
      order.push(at)
      stack.pop()
      continue
    }
    for (const to of next[at] as readonly number[]) {
      if (found.has(to)) continue
      found.add(to)
      stack.push(to)
    }
    explored.add(at)
  }
  return order
}
