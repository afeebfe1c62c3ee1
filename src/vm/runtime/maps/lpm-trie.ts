import { Errno, UpdateFlag } from '../../../uapi/index.ts'
import { VmMap, roundUp8, type MapConfig, type MapHost } from './map.ts'

/** Bytes of the prefix length in front of a key's data. */
const PREFIX_BYTES = 4

/** A node of the trie: a stored prefix, or a fork where two prefixes part (`value` 0). */
interface Node {
  /** Bits that all below have in common. */
  readonly prefix: number
  /** Address of the entry: u32 prefix length, data, value. */
  readonly entry: number
  /** Address of the value, 0 for a fork. */
  readonly value: number
  readonly children: [Node | null, Node | null]
}

/** BPF_MAP_TYPE_LPM_TRIE: the longest stored prefix of a key, in a path-compressed binary trie. */
export class LpmTrieMap extends VmMap {
  readonly #dataSize: number
  readonly #maxPrefix: number
  readonly #valueOffset: number
  readonly #entrySize: number
  #root: Node | null = null
  #count = 0
  /** Stored prefixes in the order of nextKey, made when asked for and dropped by changes. */
  #order: Node[] | null = null
  #place: Map<Node, number> = new Map()

  constructor(host: MapHost, config: MapConfig) {
    const { spec } = config
    const dataSize = spec.keySize - PREFIX_BYTES
    super(host, config)
    this.#dataSize = dataSize
    this.#maxPrefix = dataSize * 8
    this.#valueOffset = roundUp8(spec.keySize)
    this.#entrySize = this.#valueOffset + this.valueStride
  }

  override lookupAt(key: number): number {
    const prefix = this.memory.u32(key)
    if (prefix > this.#maxPrefix) return 0
    let found = 0
    for (let node = this.#root; node !== null;) {
      const common = this.#commonBits(node, key, prefix)
      if (common < node.prefix) break
      if (node.value !== 0) found = node.value
      if (node.prefix >= prefix) break
      node = node.children[this.#bit(key, node.prefix)]
    }
    return found
  }

  override updateAt(key: number, value: number, flags: number): number {
    if (flags > UpdateFlag.EXIST) return -Errno.EINVAL
    const prefix = this.memory.u32(key)
    if (prefix > this.#maxPrefix) return -Errno.EINVAL
    let parent: Node | null = null
    let node = this.#root
    let common = 0
    while (node !== null) {
      common = this.#commonBits(node, key, prefix)
      if (common < node.prefix || node.prefix === prefix) break
      parent = node
      node = node.children[this.#bit(key, node.prefix)]
    }
    const exact = node !== null && node.prefix === prefix && common === prefix
    if (exact && node!.value !== 0) {
      if (flags === UpdateFlag.NOEXIST) return -Errno.EEXIST
    } else {
      if (flags === UpdateFlag.EXIST) return -Errno.ENOENT
      if (this.#count >= this.maxEntries) return -Errno.ENOSPC
      this.#count++
    }
    const added = this.#store(key, prefix, value)
    this.#order = null
    if (node === null) {
      this.#replace(parent, node, added)
    } else if (exact) {
      added.children[0] = node.children[0]
      added.children[1] = node.children[1]
      this.#replace(parent, node, added)
      this.#discard(node)
    } else if (common === prefix) {
      added.children[this.#bit(node.entry, prefix)] = node
      this.#replace(parent, node, added)
    } else {
      const fork: Node = { prefix: common, entry: this.#copyEntry(node.entry), value: 0, children: [null, null] }
      const side = this.#bit(key, common)
      fork.children[side] = added
      fork.children[side === 0 ? 1 : 0] = node
      this.#replace(parent, node, fork)
    }
    return 0
  }

  override deleteAt(key: number): number {
    const prefix = this.memory.u32(key)
    if (prefix > this.#maxPrefix) return -Errno.EINVAL
    let grandparent: Node | null = null
    let parent: Node | null = null
    let node = this.#root
    for (;;) {
      if (node === null || this.#commonBits(node, key, prefix) < node.prefix) return -Errno.ENOENT
      if (node.prefix === prefix) break
      grandparent = parent
      parent = node
      node = node.children[this.#bit(key, node.prefix)]
    }
    if (node.value === 0) return -Errno.ENOENT
    this.#count--
    this.#order = null
    const [left, right] = node.children
    if (left !== null && right !== null) {
      // Still needed as a fork.
      const fork: Node = { prefix, entry: this.#copyEntry(node.entry), value: 0, children: [left, right] }
      this.#replace(parent, node, fork)
    } else if (left === null && right === null && parent !== null && parent.value === 0) {
      // A fork with one branch left is none.
      const sibling = parent.children[0] === node ? parent.children[1] : parent.children[0]
      this.#replace(grandparent, parent, sibling)
      this.#discard(parent)
    } else {
      this.#replace(parent, node, left ?? right)
    }
    this.#discard(node)
    return 0
  }

  override forEachAt(_visit: (key: number, value: number) => boolean): number {
    return -Errno.EINVAL
  }

  /** More specific prefixes come before the less specific ones that hold them (postorder). */
  protected override userNextKey(key: number, next: number): number {
    const order = this.#order ?? this.#makeOrder()
    let index = 0
    if (key !== 0) {
      const node = this.#exact(key)
      const place = node === null ? undefined : this.#place.get(node)
      index = place === undefined ? 0 : place + 1
    }
    const node = order[index]
    if (node === undefined) return -Errno.ENOENT
    this.memory.copy(next, node.entry, this.keySize)
    return 0
  }

  protected override release(): void {
    const stack: (Node | null)[] = [this.#root]
    while (stack.length > 0) {
      const node = stack.pop()
      if (node === null || node === undefined) continue
      stack.push(...node.children)
      this.memory.free(node.entry, this.#entrySize)
    }
    this.#root = null
  }

  #exact(key: number): Node | null {
    const prefix = this.memory.u32(key)
    let node = prefix > this.#maxPrefix ? null : this.#root
    while (node !== null) {
      if (this.#commonBits(node, key, prefix) < node.prefix) return null
      if (node.prefix === prefix) return node
      node = node.children[this.#bit(key, node.prefix)]
    }
    return null
  }

  #makeOrder(): Node[] {
    const order: Node[] = []
    this.#place = new Map()
    // Postorder with an explicit stack: a node is listed when it comes up for the second time.
    const stack: { node: Node; seen: boolean }[] = []
    if (this.#root !== null) stack.push({ node: this.#root, seen: false })
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const { node, seen } = top
      if (seen) {
        if (node.value !== 0) {
          this.#place.set(node, order.length)
          order.push(node)
        }
        continue
      }
      stack.push({ node, seen: true })
      const [left, right] = node.children
      if (right !== null) stack.push({ node: right, seen: false })
      if (left !== null) stack.push({ node: left, seen: false })
    }
    this.#order = order
    return order
  }

  #store(key: number, prefix: number, value: number): Node {
    const entry = this.memory.allocate(this.#entrySize)
    this.memory.copy(entry, key, this.keySize)
    const at = entry + this.#valueOffset
    this.memory.copy(at, value, this.valueSize)
    return { prefix, entry, value: at, children: [null, null] }
  }

  #copyEntry(from: number): number {
    const entry = this.memory.allocate(this.#entrySize)
    this.memory.copy(entry, from, this.keySize)
    return entry
  }

  #replace(parent: Node | null, old: Node | null, by: Node | null): void {
    if (parent === null) this.#root = by
    else if (old !== null) parent.children[parent.children[0] === old ? 0 : 1] = by
    else if (by !== null) parent.children[this.#bit(by.entry, parent.prefix)] = by
  }

  #discard(node: Node): void {
    this.host.afterGracePeriod(() => this.memory.free(node.entry, this.#entrySize))
  }

  /** Bit `index` of the data, the most significant bit of the first byte being bit 0. */
  #bit(key: number, index: number): 0 | 1 {
    const byte = this.memory.u8[key + PREFIX_BYTES + (index >> 3)] as number
    return ((byte >> (7 - (index & 7))) & 1) as 0 | 1
  }

  /** Leading bits that the node's prefix and the key's prefix share. */
  #commonBits(node: Node, key: number, prefix: number): number {
    const limit = Math.min(node.prefix, prefix)
    const bytes = this.memory.u8
    const a = node.entry + PREFIX_BYTES
    const b = key + PREFIX_BYTES
    for (let at = 0; at < this.#dataSize && at * 8 < limit; at++) {
      const difference = (bytes[a + at] as number) ^ (bytes[b + at] as number)
      if (difference !== 0) return Math.min(limit, at * 8 + Math.clz32(difference) - 24)
    }
    return limit
  }
}
