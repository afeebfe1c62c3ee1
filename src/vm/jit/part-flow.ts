import { depthFirst, dominators, type Block, type Cfg, type Graph } from '../../isa/index.ts'
import type { Flow } from './flow.ts'
import { isCopied, type Split } from './split.ts'

const NOWHERE: readonly number[] = []

/**
 * Control flow of a part: with several entries a dispatch comes first. Blocks of other parts that it leads to are nodes
 * as well, where control is handed over, or where a copy of the block is.
 */
export function partFlow(cfg: Cfg, split: Split, index: number): Flow {
  const { blocks, entries } = split.parts[index] as Split['parts'][number]
  const hasDispatch = entries.length > 1
  /** Block of each node, -1 for the dispatch. */
  const blockAt: number[] = hasDispatch ? [-1] : []
  const nodeOf = new Map<number, number>()
  const nodeFor = (block: number): number => {
    let node = nodeOf.get(block)
    if (node === undefined) nodeOf.set(block, (node = blockAt.push(block) - 1))
    return node
  }
  const targets = entries.map(nodeFor)
  for (const b of blocks) nodeFor(b)
  const succs: (readonly number[])[] = hasDispatch ? [targets] : []
  for (let node = succs.length; node < blockAt.length; node++) {
    const block = blockAt[node] as number
    const isInside = split.partOf[block] === index
    succs.push(isInside ? (cfg.blocks[block] as Block).succs.map(nodeFor) : NOWHERE)
  }
  const preds: number[][] = succs.map(() => [])
  succs.forEach((list, node) => {
    for (const s of list) preds[s]?.push(node)
  })
  const graph: Graph = {
    size: succs.length,
    succs: (i) => succs[i] ?? NOWHERE,
    preds: (i) => preds[i] ?? NOWHERE,
  }
  const walk = depthFirst(graph)
  const leavesTo = (node: number): number => {
    const block = blockAt[node] as number
    return block === -1 || split.partOf[block] === index || isCopied(cfg, block) ? -1 : block
  }
  return {
    root: { node: 0, label: -1 },
    size: succs.length,
    blockOf: (node) => (leavesTo(node) === -1 ? (blockAt[node] as number) : -1),
    targetsOf: (node) => (node === 0 && hasDispatch ? targets : NOWHERE),
    leavesTo,
    edgeTo: (block) => ({ node: nodeOf.get(block) as number, label: -1 }),
    reversePostorder: walk.reversePostorder,
    order: walk.post,
    idom: dominators(graph, walk),
    hasLoops: blocks.some((b) => cfg.isLoopHeader[b] === 1),
    hasDispatch,
    isPart: true,
  }
}
