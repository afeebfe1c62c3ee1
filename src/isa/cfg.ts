import { BpfError } from '../bytes/index.ts'
import { cycles, depthFirst, dominators, DominatorTree, type Graph } from './dominators.ts'
import type { InsnBuffer } from './insns.ts'

/** A basic block: slots `start` to `end` (exclusive) that are only entered at the start and only left at the end. */
export interface Block {
  readonly start: number
  readonly end: number
  /**
   * Blocks that may run next. After a conditional jump: the fall-through, then the target (once when they are the
   * same). After an indirect jump: all targets. Empty after exit.
   */
  readonly succs: readonly number[]
  /** Blocks that may run before, each once; unreachable blocks included. */
  readonly preds: readonly number[]
}

/** Control-flow graph of one function. Blocks are numbered in order of address, block 0 is the entry. */
export interface Cfg {
  readonly start: number
  readonly end: number
  readonly blocks: readonly Block[]
  /** Block of slot `start + i`. */
  readonly blockOf: Int32Array
  /** Reachable blocks, each before its successors but for retreating edges. */
  readonly reversePostorder: Int32Array
  /** Position in reverse postorder, -1 for unreachable blocks. */
  readonly order: Int32Array
  /** Immediate dominator, -1 for the entry and unreachable blocks. */
  readonly idom: Int32Array
  /** Whether every path from the entry to block `b` passes block `a`. */
  dominates(a: number, b: number): boolean
  /** 1 for blocks that a back edge (from a block they dominate) enters. */
  readonly isLoopHeader: Uint8Array
  /** Header of the innermost natural loop around each block (the header belongs to its own loop), -1 outside. */
  readonly loopOf: Int32Array
  /** For a loop header, the header of the loop around its loop; -1 for outermost loops and other blocks. */
  readonly outerLoop: Int32Array
  /** Number of natural loops around each block. */
  readonly loopDepth: Int32Array
  /** Whether every cycle is a natural loop, so that structured control flow can express it. */
  readonly reducible: boolean
  /** The cycles that remain without back edges, as sets of blocks: each is entered at more than one block. */
  readonly irreducible: readonly Int32Array[]
}

const CLASS_JMP = 0x05
const CLASS_JMP32 = 0x06
const CALL = 0x80
const EXIT = 0x90
const JA = 0x00
const GOTOX = 0x0d
const LDDW = 0x18

function malformed(at: number, message: string): never {
  throw new BpfError('malformed', message, { where: { insn: at } })
}

/** Slots that the indirect jump at a slot may lead to, each once. */
export type JumpTargets = (at: number) => readonly number[]

/** Most successors that the blocks of one function have through indirect jumps. */
const MAX_INDIRECT_EDGES = 1 << 22

/** Where control may go after a slot: the next one, and another one or (indirect jumps) several. */
interface Flow {
  readonly falls: boolean
  /** Slot, null for none. */
  readonly target: number | null
  readonly indirect: readonly number[] | null
}

/** The flow of a slot that ends a block, or null for any other instruction. */
function flowAt(insns: InsnBuffer, at: number, indirect: JumpTargets | null): Flow | null {
  const code = insns.code[at] as number
  const cls = code & 7
  if (cls !== CLASS_JMP && cls !== CLASS_JMP32) return null
  const op = code & 0xf0
  if (op === CALL) return null
  if (op === EXIT) return { falls: false, target: null, indirect: null }
  if (code === GOTOX) {
    if (indirect !== null) return { falls: false, target: null, indirect: indirect(at) }
    throw new BpfError('unsupported', 'gotox: the targets of an indirect jump are not known from the instructions', {
      where: { insn: at },
    })
  }
  if (op === JA) {
    const distance = (cls === CLASS_JMP ? insns.off[at] : insns.imm[at]) as number
    return { falls: false, target: at + 1 + distance, indirect: null }
  }
  return { falls: true, target: at + 1 + (insns.off[at] as number), indirect: null }
}

/**
 * The control-flow graph of the function in slots `start` to `end` (exclusive). Calls do not end a block. Linear in
 * the number of instructions (and of targets of indirect jumps) but for a logarithm in the dominators, and without
 * recursion.
 * @param indirect where indirect jumps lead to, which the instructions do not say
 * @throws BpfError `malformed` when a jump leaves the function or enters a 64-bit immediate, or when the last
 * instruction is neither exit nor an unconditional jump; `unsupported` for an indirect jump without `indirect`, `limit`
 * for indirect jumps with more than four million targets together
 */
export function buildCfg(insns: InsnBuffer, start: number, end: number, indirect: JumpTargets | null = null): Cfg {
  if (!(start >= 0 && start < end && end <= insns.length)) {
    throw new BpfError('usage', `slots ${start} to ${end} are no part of a buffer of ${insns.length} slots`)
  }
  const { blocks, blockOf } = findBlocks(insns, start, end, indirect)
  const graph: Graph = {
    size: blocks.length,
    succs: (b) => (blocks[b] as Block).succs,
    preds: (b) => (blocks[b] as Block).preds,
  }
  const walk = depthFirst(graph)
  const idom = dominators(graph, walk)
  const tree = new DominatorTree(idom, walk.reversePostorder)
  const loops = findLoops(graph, walk.reversePostorder, walk.post, tree)
  const irreducible = loops.reducible ? [] : cycles(graph, walk, (from, to) => !tree.dominates(to, from))
  return {
    start,
    end,
    blocks,
    blockOf,
    reversePostorder: walk.reversePostorder,
    order: walk.post,
    idom,
    dominates: (a, b) => tree.dominates(a, b),
    ...loops,
    irreducible,
  }
}

function findBlocks(
  insns: InsnBuffer,
  start: number,
  end: number,
  indirect: JumpTargets | null,
): { blocks: Block[]; blockOf: Int32Array } {
  const length = end - start
  const leader = new Uint8Array(length + 1)
  const second = new Uint8Array(length)
  leader[0] = 1
  const mark = (from: number, target: number): void => {
    if (target < start || target >= end) {
      malformed(from, `jump to slot ${target}, outside of the function's slots ${start} to ${end - 1}`)
    }
    leader[target - start] = 1
  }
  let last = start
  let edges = 0
  for (let i = start; i < end; i++) {
    last = i
    if (insns.code[i] === LDDW) {
      if (i + 1 >= end) malformed(i, '64-bit immediate without a second slot')
      second[++i - start] = 1
      continue
    }
    const flow = flowAt(insns, i, indirect)
    if (flow === null) continue
    leader[i + 1 - start] = 1
    if (flow.target !== null) mark(i, flow.target)
    if (flow.indirect === null) continue
    for (const target of flow.indirect) mark(i, target)
    edges += flow.indirect.length
    if (edges <= MAX_INDIRECT_EDGES) continue
    throw new BpfError('limit', `indirect jumps have more than ${MAX_INDIRECT_EDGES} targets together`, {
      where: { insn: i },
    })
  }
  const final = flowAt(insns, last, indirect)
  if (final === null || final.falls) malformed(last, 'last instruction is neither exit nor an unconditional jump')

  const blockOf = new Int32Array(length)
  const starts: number[] = []
  for (let i = 0; i < length; i++) {
    if (leader[i] === 1) {
      if (second[i] === 1) malformed(start + i, `jump to slot ${start + i}, the second half of a 64-bit immediate`)
      starts.push(start + i)
    }
    blockOf[i] = starts.length - 1
  }
  const succs = starts.map((_, b): number[] => {
    const to = starts[b + 1] ?? end
    // A block's last slot may be the second half of a 64-bit immediate, whose code 0 is no jump either.
    const flow = second[to - 1 - start] === 1 ? null : flowAt(insns, to - 1, indirect)
    if (flow === null) return [b + 1]
    if (flow.indirect !== null) return flow.indirect.map((target) => blockOf[target - start] as number)
    if (flow.target === null) return []
    const target = blockOf[flow.target - start] as number
    return flow.falls && target !== b + 1 ? [b + 1, target] : [target]
  })
  // Exactly as long as needed: arrays that grow would take several times the memory of a large function's graph.
  const counts = new Int32Array(starts.length)
  for (const list of succs) for (const s of list) counts[s] = (counts[s] as number) + 1
  // oxlint-disable-next-line unicorn/no-new-array -- Array.from takes three times as long
  const preds = starts.map((_, b) => new Array<number>(counts[b] as number).fill(0))
  counts.fill(0)
  succs.forEach((list, b) => {
    for (const s of list) {
      const k = counts[s] as number
      ;(preds[s] as number[])[k] = b
      counts[s] = k + 1
    }
  })
  const blocks = starts.map((from, b): Block => ({
    start: from,
    end: starts[b + 1] ?? end,
    succs: succs[b] as number[],
    preds: preds[b] as number[],
  }))
  return { blocks, blockOf }
}

type Loops = Pick<Cfg, 'isLoopHeader' | 'loopOf' | 'outerLoop' | 'loopDepth' | 'reducible'>

/** Natural loops from the inside out; a union-find forest stands for bodies that are already collapsed. */
function findLoops(graph: Graph, rpo: Int32Array, order: Int32Array, tree: DominatorTree): Loops {
  const n = graph.size
  const isLoopHeader = new Uint8Array(n)
  const loopOf = new Int32Array(n).fill(-1)
  const outerLoop = new Int32Array(n).fill(-1)
  const loopDepth = new Int32Array(n)
  const root = new Int32Array(n)
  for (let i = 0; i < n; i++) root[i] = i
  const find = (node: number): number => {
    let at = node
    while (root[at] !== at) {
      root[at] = root[root[at] as number] as number
      at = root[at] as number
    }
    return at
  }
  let reducible = true
  // Inner headers come later in reverse postorder than the headers around them.
  for (let i = rpo.length - 1; i >= 0; i--) {
    const header = rpo[i] as number
    const work: number[] = []
    for (const p of graph.preds(header)) {
      const at = order[p] as number
      if (at === -1 || at < i) continue
      if (!tree.dominates(header, p)) reducible = false
      else {
        isLoopHeader[header] = 1
        work.push(find(p))
      }
    }
    if (isLoopHeader[header] === 0) continue
    loopOf[header] = header
    for (let node = work.pop(); node !== undefined; node = work.pop()) {
      if (node === header || root[node] !== node) continue
      root[node] = header
      if (isLoopHeader[node] === 1) outerLoop[node] = header
      else loopOf[node] = header
      for (const p of graph.preds(node)) {
        if (order[p] === -1) continue
        const r = find(p)
        if (r !== header && root[r] === r) work.push(r)
      }
    }
  }
  for (const node of rpo) {
    const header = loopOf[node] as number
    if (header === -1) continue
    if (header !== node) {
      loopDepth[node] = loopDepth[header] as number
      continue
    }
    const outer = outerLoop[node] as number
    loopDepth[node] = outer === -1 ? 1 : (loopDepth[outer] as number) + 1
  }
  return { isLoopHeader, loopOf, outerLoop, loopDepth, reducible }
}
