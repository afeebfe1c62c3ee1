import { cycles, depthFirst, dominators, type Cfg, type Graph } from '../../isa/index.ts'

/** Where an edge of a function leads. */
export interface Edge {
  readonly node: number
  /** Value for the label local when the edge goes to a dispatch, otherwise -1. */
  readonly label: number
}

/**
 * Reducible control flow of a function, or of a part of one: nodes are its basic blocks, and where a cycle has several
 * entries, dispatch nodes that all edges to those entries pass through.
 */
export interface Flow {
  readonly root: Edge
  readonly size: number
  /** Basic block of a node, -1 for a dispatch and where control leaves. */
  blockOf(node: number): number
  /** Entries that a dispatch chooses from, by label. */
  targetsOf(node: number): readonly number[]
  /** The block of another part that a node hands over to, -1 for all other nodes. */
  leavesTo(node: number): number
  /** Where the edge to a basic block leads. */
  edgeTo(block: number): Edge
  readonly reversePostorder: Int32Array
  /** Position in reverse postorder, -1 for unreachable nodes. */
  readonly order: Int32Array
  readonly idom: Int32Array
  readonly hasLoops: boolean
  readonly hasDispatch: boolean
  /** Whether loops may lead through other parts. */
  readonly isPart: boolean
}

const NO_TARGETS: readonly number[] = []

export function buildFlow(cfg: Cfg): Flow {
  return cfg.reducible ? reducibleFlow(cfg) : dispatchedFlow(cfg)
}

function reducibleFlow(cfg: Cfg): Flow {
  return {
    root: { node: 0, label: -1 },
    size: cfg.blocks.length,
    blockOf: (node) => node,
    targetsOf: () => NO_TARGETS,
    leavesTo: () => -1,
    edgeTo: (block) => ({ node: block, label: -1 }),
    reversePostorder: cfg.reversePostorder,
    order: cfg.order,
    idom: cfg.idom,
    hasLoops: cfg.isLoopHeader.includes(1),
    hasDispatch: false,
    isPart: false,
  }
}

/** Rounds of looking for cycles inside cycles, after which what is left dispatches to all of its blocks. */
const MAX_ROUNDS = 64

/**
 * Gives every cycle one entry, from the outside in: a cycle with one entry loses the edges to it, one with several
 * gets a dispatch in front of them; what is left are the cycles inside.
 */
function dispatchedFlow(cfg: Cfg): Flow {
  const { blocks } = cfg
  const n = blocks.length
  const graph: Graph = {
    size: n,
    succs: (b) => blocks[b]?.succs ?? NO_TARGETS,
    preds: (b) => blocks[b]?.preds ?? NO_TARGETS,
  }
  const walk = depthFirst(graph)
  const cut = new Uint8Array(n)
  const dispatch = new Int32Array(n).fill(-1)
  const label = new Int32Array(n).fill(-1)
  const targets: number[][] = []
  const member = new Int32Array(n).fill(-1)
  let components = 0
  for (let round = 0; ; round++) {
    const found = cycles(graph, walk, (_, to) => cut[to] === 0)
    if (found.length === 0) break
    for (const nodes of found) {
      const id = components++
      for (const b of nodes) member[b] = id
      const isEntry = (b: number): boolean =>
        b === 0 || graph.preds(b).some((p) => member[p] !== id && walk.post[p] !== -1)
      const entries = round < MAX_ROUNDS ? [...nodes].filter(isEntry) : [...nodes]
      for (const b of entries) cut[b] = 1
      if (entries.length === 1) continue
      entries.forEach((b, i) => {
        dispatch[b] = targets.length
        label[b] = i
      })
      targets.push(entries)
    }
  }
  return renumber(cfg, dispatch, label, targets)
}

/** Nodes: 0 the start, then the blocks, then the dispatches. */
function renumber(cfg: Cfg, dispatch: Int32Array, label: Int32Array, targets: readonly (readonly number[])[]): Flow {
  const n = cfg.blocks.length
  const size = 1 + n + targets.length
  const edgeTo = (block: number): Edge =>
    dispatch[block] === -1
      ? { node: 1 + block, label: -1 }
      : { node: 1 + n + (dispatch[block] as number), label: label[block] as number }
  const root = edgeTo(0)
  const succs: number[][] = [[root.node]]
  for (const block of cfg.blocks) succs.push([...new Set(block.succs.map((s) => edgeTo(s).node))])
  for (const entries of targets) succs.push(entries.map((b) => 1 + b))
  const preds: number[][] = succs.map(() => [])
  succs.forEach((list, node) => {
    for (const s of list) preds[s]?.push(node)
  })
  const graph: Graph = { size, succs: (i) => succs[i] as number[], preds: (i) => preds[i] as number[] }
  const walk = depthFirst(graph)
  return {
    root,
    size,
    blockOf: (node) => (node <= n ? node - 1 : -1),
    targetsOf: (node) => (node > n ? (succs[node] as number[]) : NO_TARGETS),
    leavesTo: () => -1,
    edgeTo,
    // Without the start, whose only edge is the root.
    reversePostorder: walk.reversePostorder.subarray(1),
    order: walk.post,
    idom: dominators(graph, walk),
    hasLoops: true,
    hasDispatch: true,
    isPart: false,
  }
}
