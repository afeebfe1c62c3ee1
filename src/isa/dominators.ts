/** A directed graph of nodes 0 to `size` - 1, given by its edges in both directions. */
export interface Graph {
  readonly size: number
  succs(node: number): readonly number[]
  preds(node: number): readonly number[]
}

/** Depth-first numbering of what a graph's node 0 reaches. */
export interface DepthFirst {
  /** Reached nodes in preorder. */
  readonly preorder: Int32Array
  /** Reached nodes in reverse postorder: every node before its successors, but for retreating edges. */
  readonly reversePostorder: Int32Array
  /** Position in preorder, -1 for an unreached node. */
  readonly pre: Int32Array
  /** Position in reverse postorder, -1 for an unreached node. */
  readonly post: Int32Array
  /** Parent in the depth-first tree, -1 for the root and for unreached nodes. */
  readonly parent: Int32Array
}

/** Walks the graph from node 0 with its own stack. Linear time. */
export function depthFirst(graph: Graph): DepthFirst {
  const n = graph.size
  const pre = new Int32Array(n).fill(-1)
  const post = new Int32Array(n).fill(-1)
  const parent = new Int32Array(n).fill(-1)
  const preorder = new Int32Array(n)
  const postorder = new Int32Array(n)
  const stack = new Int32Array(n)
  const next = new Int32Array(n)
  let entered = 0
  let left = 0
  let top = 0
  if (n > 0) {
    pre[0] = entered
    preorder[entered++] = 0
    stack[top++] = 0
  }
  while (top > 0) {
    const node = stack[top - 1] as number
    const succs = graph.succs(node)
    const k = next[node] as number
    if (k < succs.length) {
      next[node] = k + 1
      const to = succs[k] as number
      if (pre[to] !== -1) continue
      pre[to] = entered
      preorder[entered++] = to
      parent[to] = node
      stack[top++] = to
    } else {
      postorder[left++] = node
      top--
    }
  }
  const reversePostorder = postorder.slice(0, left).reverse()
  reversePostorder.forEach((node, i) => (post[node] = i))
  return { preorder: preorder.slice(0, entered), reversePostorder, pre, post, parent }
}

/**
 * Immediate dominators of the nodes that node 0 reaches, -1 for node 0 and unreached nodes.
 * Lengauer and Tarjan's algorithm with path compression, O(m log n): the simpler iterative one is quadratic on a
 * ladder of error exits, which is what large BPF programs look like.
 */
export function dominators(graph: Graph, walk: DepthFirst): Int32Array {
  const n = walk.preorder.length
  // All arrays are indexed by preorder number.
  const semi = new Int32Array(n)
  const best = new Int32Array(n)
  const ancestor = new Int32Array(n).fill(-1)
  const idom = new Int32Array(n)
  const bucketHead = new Int32Array(n).fill(-1)
  const bucketNext = new Int32Array(n).fill(-1)
  const path = new Int32Array(n)
  for (let i = 0; i < n; i++) semi[i] = best[i] = i

  // The node with the least semidominator on the path from v to the root of its tree in the forest.
  const evaluate = (v: number): number => {
    if (ancestor[v] === -1) return v
    let depth = 0
    let at = v
    while (ancestor[ancestor[at] as number] !== -1) {
      path[depth++] = at
      at = ancestor[at] as number
    }
    while (depth > 0) {
      const node = path[--depth] as number
      const up = ancestor[node] as number
      if ((semi[best[up] as number] as number) < (semi[best[node] as number] as number)) best[node] = best[up] as number
      ancestor[node] = ancestor[up] as number
    }
    return best[v] as number
  }

  for (let w = n - 1; w > 0; w--) {
    const node = walk.preorder[w] as number
    const parent = walk.pre[walk.parent[node] as number] as number
    for (const p of graph.preds(node)) {
      const v = walk.pre[p] as number
      if (v === -1) continue
      const s = semi[evaluate(v)] as number
      if (s < (semi[w] as number)) semi[w] = s
    }
    const s = semi[w] as number
    bucketNext[w] = bucketHead[s] as number
    bucketHead[s] = w
    ancestor[w] = parent
    for (let v = bucketHead[parent] as number; v !== -1; v = bucketNext[v] as number) {
      const u = evaluate(v)
      idom[v] = (semi[u] as number) < (semi[v] as number) ? u : parent
    }
    bucketHead[parent] = -1
  }
  const result = new Int32Array(graph.size).fill(-1)
  for (let w = 1; w < n; w++) {
    if (idom[w] !== semi[w]) idom[w] = idom[idom[w] as number] as number
    result[walk.preorder[w] as number] = walk.preorder[idom[w] as number] as number
  }
  return result
}

/** Answers "does a dominate b" in constant time, from interval numbers of the dominator tree. */
export class DominatorTree {
  readonly #enter: Int32Array
  readonly #leave: Int32Array

  constructor(idom: Int32Array, reversePostorder: Int32Array) {
    const n = idom.length
    const size = new Int32Array(n)
    this.#enter = new Int32Array(n).fill(-1)
    this.#leave = new Int32Array(n).fill(-1)
    // Subtree sizes from the leaves up, then intervals from the root down: reverse postorder has parents first.
    for (let i = reversePostorder.length - 1; i >= 0; i--) {
      const node = reversePostorder[i] as number
      size[node] = (size[node] as number) + 1
      const up = idom[node] as number
      if (up !== -1) size[up] = (size[up] as number) + size[node]
    }
    const free = new Int32Array(n)
    for (const node of reversePostorder) {
      const up = idom[node] as number
      const start = up === -1 ? 0 : (free[up] as number)
      this.#enter[node] = start
      this.#leave[node] = start + (size[node] as number)
      free[node] = start + 1
      if (up !== -1) free[up] = start + (size[node] as number)
    }
  }

  /** Whether every path from the entry to `b` passes `a`; false when either is unreachable. */
  dominates(a: number, b: number): boolean {
    const at = this.#enter[b] as number
    return at !== -1 && (this.#enter[a] as number) <= at && at < (this.#leave[a] as number)
  }
}

/**
 * Strongly connected components with at least two nodes, or one node with an edge to itself, among reached nodes and
 * the edges that `keep` accepts. Tarjan's algorithm with its own stack; each component in order of node number.
 */
export function cycles(graph: Graph, walk: DepthFirst, keep: (from: number, to: number) => boolean): Int32Array[] {
  const n = graph.size
  const index = new Int32Array(n).fill(-1)
  const low = new Int32Array(n)
  const onStack = new Uint8Array(n)
  const next = new Int32Array(n)
  const open = new Int32Array(n)
  const calls = new Int32Array(n)
  const found: Int32Array[] = []
  let count = 0
  let openTop = 0
  for (const root of walk.reversePostorder) {
    if (index[root] !== -1) continue
    let top = 0
    const enter = (node: number): void => {
      index[node] = low[node] = count++
      open[openTop++] = node
      onStack[node] = 1
      calls[top++] = node
    }
    enter(root)
    while (top > 0) {
      const node = calls[top - 1] as number
      const succs = graph.succs(node)
      const k = next[node] as number
      if (k < succs.length) {
        next[node] = k + 1
        const to = succs[k] as number
        if (!keep(node, to)) continue
        if (index[to] === -1) enter(to)
        else if (onStack[to] === 1) low[node] = Math.min(low[node] as number, index[to] as number)
        continue
      }
      top--
      if (top > 0) {
        const up = calls[top - 1] as number
        low[up] = Math.min(low[up] as number, low[node] as number)
      }
      if (low[node] !== index[node]) continue
      const from = openTop
      do onStack[open[--openTop] as number] = 0
      while (open[openTop] !== node)
      const single = from - openTop === 1
      if (single && !graph.succs(node).some((to) => to === node && keep(node, to))) continue
      found.push(open.slice(openTop, from).sort())
    }
  }
  return found
}
