import type { LinearMemory } from './memory.ts'

/** In struct bpf_rb_node: address of the root, 0 while it is in no tree. */
const OWNER = 24

/**
 * Ordered trees (bpf_rb_root): the nodes of a root in order, in an array. As programs see no more of a tree than its
 * order, first, root, left and right, the array stands for the balanced tree whose root is its middle.
 */
export class Trees {
  readonly #memory: LinearMemory
  readonly #nodes: Map<number, number[]> = new Map()

  constructor(memory: LinearMemory) {
    this.#memory = memory
  }

  /** Adds a node by bpf_rbtree_add's rule: after those that it is not less than. False when it is in a tree already. */
  add(root: number, node: number, less: (a: number, b: number) => boolean): boolean {
    if (this.#memory.u32(node + OWNER) !== 0) return false
    const nodes = this.#of(root)
    let low = 0
    let high = nodes.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (less(node, nodes[middle] as number)) high = middle
      else low = middle + 1
    }
    nodes.splice(low, 0, node)
    this.#nodes.set(root, nodes)
    this.#memory.setU64(node + OWNER, BigInt(root))
    this.#publish(root, nodes)
    return true
  }

  /** Takes a node out; false when it is not in this tree. */
  remove(root: number, node: number): boolean {
    const nodes = this.#of(root)
    const at = node !== 0 && this.#memory.u32(node + OWNER) === root ? nodes.indexOf(node) : -1
    if (at < 0) return false
    nodes.splice(at, 1)
    this.#memory.setU64(node + OWNER, 0n)
    this.#publish(root, nodes)
    return true
  }

  /** The least node, 0 for an empty tree. */
  first(root: number): number {
    return this.#of(root)[0] ?? 0
  }

  /** The node at the top, 0 for an empty tree. */
  root(root: number): number {
    const nodes = this.#of(root)
    return nodes[nodes.length >> 1] ?? 0
  }

  /** The child of a node, 0 for none. */
  child(root: number, node: number, right: boolean): number {
    if (this.#memory.u32(node + OWNER) !== root) return 0
    const nodes = this.#of(root)
    const target = nodes.indexOf(node)
    let low = 0
    let high = nodes.length
    while (low < high) {
      const middle = low + ((high - low) >> 1)
      if (middle === target) {
        const [from, to] = right ? [middle + 1, high] : [low, middle]
        return from < to ? (nodes[from + ((to - from) >> 1)] as number) : 0
      }
      if (target < middle) high = middle
      else low = middle + 1
    }
    return 0
  }

  /** The nodes of a root; memory that was zeroed since is an empty tree. */
  #of(root: number): number[] {
    return this.#memory.u32(root) === 0 ? [] : (this.#nodes.get(root) ?? [])
  }

  #publish(root: number, nodes: readonly number[]): void {
    this.#memory.setU64(root, BigInt(nodes[nodes.length >> 1] ?? 0))
    this.#memory.setU64(root + 8, BigInt(nodes[0] ?? 0))
    if (nodes.length === 0) this.#nodes.delete(root)
  }
}
