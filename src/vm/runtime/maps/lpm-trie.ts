import { Errno, UpdateFlag } from '../../../uapi/index.ts'
import { Deferred, Descriptor, TrieNode } from './descriptor.ts'
import { checkLinks } from './links.ts'
import { VmMap, roundUp8, type MapConfig, type MapHost } from './map.ts'
import { Slabs } from './slabs.ts'

/** Bytes of the prefix length in front of a key's data. */
const PREFIX_BYTES = 4
/** Nodes that are allocated at a time. */
const SLAB_BYTES = 16384

/**
 * BPF_MAP_TYPE_LPM_TRIE: the longest stored prefix of a key, in a path-compressed binary trie. Its nodes are in linear
 * memory by the layout TrieNode; compiled programs walk and change it too (jit/trie-code.ts).
 */
export class LpmTrieMap extends VmMap {
  readonly #dataSize: number
  readonly #maxPrefix: number
  readonly #valueOffset: number
  readonly #nodeSize: number
  readonly #slabs: Slabs
  /** Stored prefixes in the order of nextKey, made when asked for, and the place of each; good for one state. */
  #order: number[] = []
  #place: Map<number, number> = new Map()
  #orderedAt = -1

  constructor(host: MapHost, config: MapConfig) {
    const { spec } = config
    const dataSize = spec.keySize - PREFIX_BYTES
    super(host, config)
    this.#slabs = new Slabs(this.memory)
    this.#dataSize = dataSize
    this.#maxPrefix = dataSize * 8
    this.#valueOffset = roundUp8(TrieNode.DATA + dataSize)
    this.#nodeSize = this.#valueOffset + this.valueStride
    this.memory.setU32(this.handle + Descriptor.VALUE_OFFSET, this.#valueOffset)
  }

  override takeMemory(): void {
    // Stored prefixes, forks between them, and what an update needs before it gives back what it replaces.
    for (let nodes = 0; nodes < 2 * this.maxEntries + 2;) nodes += this.#addNodes()
  }

  override lookupAt(key: number): number {
    const prefix = this.memory.u32(key)
    if (prefix > this.#maxPrefix) return 0
    let found = 0
    let depth = 0
    for (let node = this.memory.u32(this.#root); node !== 0;) {
      checkLinks(++depth, this.#mostNodes)
      const bits = this.#prefix(node)
      if (this.#commonBits(node, key, prefix) < bits) break
      if (this.#isStored(node)) found = node + this.#valueOffset
      if (bits >= prefix) break
      node = this.memory.u32(this.#child(node, key, bits))
    }
    return found
  }

  override updateAt(key: number, value: number, flags: number): number {
    if (flags > UpdateFlag.EXIST) return -Errno.EINVAL
    const prefix = this.memory.u32(key)
    if (prefix > this.#maxPrefix) return -Errno.EINVAL
    const { memory } = this
    let link = this.#root
    let node = memory.u32(link)
    let common = 0
    for (let depth = 1; node !== 0; depth++) {
      checkLinks(depth, this.#mostNodes)
      const bits = this.#prefix(node)
      common = this.#commonBits(node, key, prefix)
      if (common < bits || bits === prefix) break
      link = this.#child(node, key, bits)
      node = memory.u32(link)
    }
    const exact = node !== 0 && common === prefix && this.#prefix(node) === prefix
    const replaces = exact && this.#isStored(node)
    if (replaces && flags === UpdateFlag.NOEXIST) return -Errno.EEXIST
    if (!replaces && flags === UpdateFlag.EXIST) return -Errno.ENOENT
    const count = memory.u32(this.handle + Descriptor.COUNT)
    if (!replaces && count >= this.maxEntries) return -Errno.ENOSPC
    const added = this.#newNode(key + PREFIX_BYTES, prefix, true)
    memory.copy(added + this.#valueOffset, value, this.valueSize)
    if (exact) {
      memory.copy(added + TrieNode.CHILDREN, node + TrieNode.CHILDREN, 8)
      memory.setU32(link, added)
      this.#discard(node)
    } else if (node === 0) {
      memory.setU32(link, added)
    } else if (common === prefix) {
      memory.setU32(this.#childOfNode(added, node, prefix), node)
      memory.setU32(link, added)
    } else {
      const fork = this.#newNode(node + TrieNode.DATA, common, false)
      memory.setU32(this.#childOfNode(fork, added, common), added)
      memory.setU32(this.#childOfNode(fork, node, common), node)
      memory.setU32(link, fork)
    }
    if (!replaces) memory.setU32(this.handle + Descriptor.COUNT, count + 1)
    this.#changed()
    return 0
  }

  override deleteAt(key: number): number {
    const prefix = this.memory.u32(key)
    if (prefix > this.#maxPrefix) return -Errno.EINVAL
    const { memory } = this
    let parentLink = 0
    let parent = 0
    let link = this.#root
    let node = memory.u32(link)
    for (let depth = 1; ; depth++) {
      checkLinks(depth, this.#mostNodes)
      if (node === 0 || this.#commonBits(node, key, prefix) < this.#prefix(node)) return -Errno.ENOENT
      if (this.#prefix(node) === prefix) break
      parentLink = link
      parent = node
      link = this.#child(node, key, this.#prefix(node))
      node = memory.u32(link)
    }
    if (!this.#isStored(node)) return -Errno.ENOENT
    const left = memory.u32(node + TrieNode.CHILDREN)
    const right = memory.u32(node + TrieNode.CHILDREN + 4)
    if (left !== 0 && right !== 0) {
      // Still needed as a fork.
      const fork = this.#newNode(node + TrieNode.DATA, prefix, false)
      memory.copy(fork + TrieNode.CHILDREN, node + TrieNode.CHILDREN, 8)
      memory.setU32(link, fork)
    } else if (left === 0 && right === 0 && parent !== 0 && !this.#isStored(parent)) {
      // A fork with one branch left is none.
      const sibling = parent + TrieNode.CHILDREN + (link === parent + TrieNode.CHILDREN ? 4 : 0)
      memory.setU32(parentLink, memory.u32(sibling))
      this.#discard(parent)
    } else {
      memory.setU32(link, left === 0 ? right : left)
    }
    this.#discard(node)
    memory.setU32(this.handle + Descriptor.COUNT, memory.u32(this.handle + Descriptor.COUNT) - 1)
    this.#changed()
    return 0
  }

  override forEachAt(_visit: (key: number, value: number) => boolean): number {
    return -Errno.EINVAL
  }

  override reclaim(entry: number): void {
    const node = entry - Deferred.IN_NODE
    const free = this.handle + Descriptor.FREE
    this.memory.setU32(node + TrieNode.FREE, this.memory.u32(free))
    this.memory.setU32(free, node)
  }

  /** More specific prefixes come before the less specific ones that hold them (postorder). */
  protected override userNextKey(key: number, next: number): number {
    if (this.#orderedAt !== this.#changes) this.#makeOrder()
    let index = 0
    if (key !== 0) {
      const place = this.#place.get(this.#exact(key))
      index = place === undefined ? 0 : place + 1
    }
    const node = this.#order[index]
    if (node === undefined) return -Errno.ENOENT
    this.memory.setU32(next, this.#prefix(node))
    this.memory.copy(next + PREFIX_BYTES, node + TrieNode.DATA, this.#dataSize)
    return 0
  }

  protected override release(): void {
    this.#slabs.release()
  }

  /** Nodes on the way down at most: one for each length of a prefix. */
  get #mostNodes(): number {
    return this.#maxPrefix + 2
  }

  /** Where the address of the root is. */
  get #root(): number {
    return this.handle + Descriptor.BASE
  }

  get #changes(): number {
    return this.memory.u32(this.handle + Descriptor.EXTRA)
  }

  #changed(): void {
    this.memory.setU32(this.handle + Descriptor.EXTRA, this.#changes + 1)
  }

  #prefix(node: number): number {
    return this.memory.u32(node + TrieNode.PREFIX)
  }

  #isStored(node: number): boolean {
    return this.memory.u32(node + TrieNode.STORED) !== 0
  }

  /** The node of just this prefix, 0 when there is none. */
  #exact(key: number): number {
    const prefix = this.memory.u32(key)
    let node = prefix > this.#maxPrefix ? 0 : this.memory.u32(this.#root)
    for (let depth = 1; node !== 0; depth++) {
      checkLinks(depth, this.#mostNodes)
      const bits = this.#prefix(node)
      if (this.#commonBits(node, key, prefix) < bits) return 0
      if (bits === prefix) return node
      node = this.memory.u32(this.#child(node, key, bits))
    }
    return 0
  }

  #makeOrder(): void {
    const { memory } = this
    this.#order = []
    this.#place = new Map()
    // Postorder with an explicit stack: a node is listed when it comes up for the second time.
    const stack: { node: number; seen: boolean }[] = [{ node: memory.u32(this.#root), seen: false }]
    let steps = 0
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const { node, seen } = top
      if (node === 0) continue
      // Each node is seen twice, and there are fewer forks than stored prefixes.
      checkLinks(++steps, 4 * this.maxEntries)
      if (seen) {
        if (!this.#isStored(node)) continue
        this.#place.set(node, this.#order.length)
        this.#order.push(node)
        continue
      }
      stack.push({ node, seen: true })
      stack.push({ node: memory.u32(node + TrieNode.CHILDREN + 4), seen: false })
      stack.push({ node: memory.u32(node + TrieNode.CHILDREN), seen: false })
    }
    this.#orderedAt = this.#changes
  }

  /** A node without children; its value is whatever was there. */
  #newNode(data: number, prefix: number, stored: boolean): number {
    const { memory } = this
    const free = this.handle + Descriptor.FREE
    if (memory.u32(free) === 0) this.#addNodes()
    const node = memory.u32(free)
    memory.setU32(free, memory.u32(node + TrieNode.FREE))
    memory.fill(node, 0, TrieNode.DATA)
    memory.setU32(node + TrieNode.PREFIX, prefix)
    memory.setU32(node + TrieNode.STORED, stored ? 1 : 0)
    // Bytes in the order of the data: the first bit is the highest of the first byte.
    memory.view.setUint32(node + TrieNode.MASK, prefix === 0 ? 0 : -1 << (32 - Math.min(prefix, 32)), false)
    memory.copy(node + TrieNode.DATA, data, this.#dataSize)
    return node
  }

  /** How many it has added. */
  #addNodes(): number {
    const count = Math.max(1, Math.floor(SLAB_BYTES / this.#nodeSize))
    const address = this.#slabs.add(count * this.#nodeSize)
    for (let i = count - 1; i >= 0; i--) this.reclaim(address + i * this.#nodeSize + Deferred.IN_NODE)
    return count
  }

  #discard(node: number): void {
    this.host.reclaimLater(this, node + Deferred.IN_NODE)
  }

  /** Where a node has the address of its child for a key with the bit behind the node's prefix. */
  #child(node: number, key: number, prefix: number): number {
    return node + TrieNode.CHILDREN + this.#bit(key + PREFIX_BYTES, prefix) * 4
  }

  #childOfNode(node: number, child: number, prefix: number): number {
    return node + TrieNode.CHILDREN + this.#bit(child + TrieNode.DATA, prefix) * 4
  }

  /** Bit `index` of data, the most significant bit of the first byte being bit 0. */
  #bit(data: number, index: number): number {
    const byte = this.memory.u8[data + (index >> 3)] as number
    return (byte >> (7 - (index & 7))) & 1
  }

  /** Leading bits that the node's prefix and the key's prefix share. */
  #commonBits(node: number, key: number, prefix: number): number {
    const limit = Math.min(this.#prefix(node), prefix)
    const bytes = this.memory.u8
    const a = node + TrieNode.DATA
    const b = key + PREFIX_BYTES
    for (let at = 0; at < this.#dataSize && at * 8 < limit; at++) {
      const difference = (bytes[a + at] as number) ^ (bytes[b + at] as number)
      if (difference !== 0) return Math.min(limit, at * 8 + Math.clz32(difference) - 24)
    }
    return limit
  }
}
