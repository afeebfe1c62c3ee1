import { Errno } from '../../../uapi/index.ts'
import type { ArenaLayout } from '../../engine.ts'
import { refuse } from './attributes.ts'
import { VmMap, type MapConfig, type MapHost } from './map.ts'

const PAGE_SIZE = 4096
/** Pages more than the arena has: to begin at a page, and one on each side for programs that miss it by a little. */
const MARGIN = 3
/** Bytes that an instruction accesses at most. */
const MOST_BYTES = 8

/**
 * BPF_MAP_TYPE_ARENA: pages that programs share by plain pointers. They lie side by side in the vm's memory, so that a
 * pointer of user space and one of programs are the same address; map_extra, the address that user space wants, is
 * not used. A page that was not allocated, and the one before and behind the arena, reads as zeros whatever programs
 * write there.
 */
export class ArenaMap extends VmMap {
  /** Address of page 0. */
  readonly base: number
  readonly #start: number
  readonly #used: Uint8Array
  /** See ArenaLayout. */
  readonly #present: number

  constructor(host: MapHost, config: MapConfig) {
    const { spec } = config
    super(host, config)
    this.#start = this.memory.allocate((spec.maxEntries + MARGIN) * PAGE_SIZE)
    this.base = Math.ceil(this.#start / PAGE_SIZE + 1) * PAGE_SIZE
    this.#used = new Uint8Array(spec.maxEntries)
    this.#present = this.memory.allocate(4)
    host.absentPages.mark(this.base - PAGE_SIZE, spec.maxEntries + 2, true)
    const { contents } = spec
    if (contents !== null && contents.length > 0) {
      // Variables of the program, which are there from the start.
      const pages = Math.ceil(contents.length / PAGE_SIZE)
      if (pages > spec.maxEntries) refuse(config, 'EINVAL', `room for ${contents.length} bytes of variables`)
      this.#use(0, pages, true)
      this.memory.write(this.base, contents)
    }
  }

  get layout(): ArenaLayout {
    return { base: this.base, present: this.#present, absentPages: this.host.absentPages.table }
  }

  /** bpf_arena_alloc_pages: address of zeroed pages (at `address` when it is not 0), or 0. */
  allocatePages(address: number, count: number): number {
    if (count === 0 || count > this.maxEntries || address % PAGE_SIZE !== 0) return 0
    const page = address === 0 ? this.#find(count) : (address - this.base) / PAGE_SIZE
    if (page < 0 || page + count > this.maxEntries || !this.#isFree(page, count)) return 0
    this.#use(page, count, true)
    return this.base + page * PAGE_SIZE
  }

  /** bpf_arena_free_pages. */
  freePages(address: number, count: number): void {
    const page = Math.floor((address - this.base) / PAGE_SIZE)
    if (page < 0 || page >= this.maxEntries) return
    const end = Math.min(this.maxEntries, page + count)
    this.#use(page, end - page, false)
    this.memory.fill(this.base + page * PAGE_SIZE, 0, (end - page) * PAGE_SIZE)
  }

  /** As in the kernel while the arena is mapped, which it always is here. */
  override freeze(): void {
    this.fail('freeze', -Errno.EBUSY)
  }

  override updateAt(_key: number, _value: number, _flags: number): number {
    return -Errno.EOPNOTSUPP
  }

  override deleteAt(_key: number): number {
    return -Errno.EOPNOTSUPP
  }

  protected override userLookup(_key: number, _value: number): number {
    return -Errno.EINVAL
  }

  protected override userNextKey(_key: number, _next: number): number {
    return -Errno.EOPNOTSUPP
  }

  protected override release(): void {
    this.host.absentPages.mark(this.base - PAGE_SIZE, this.maxEntries + 2, false)
    this.memory.free(this.#present, 4)
    this.memory.free(this.#start, (this.maxEntries + MARGIN) * PAGE_SIZE)
  }

  #use(page: number, count: number, used: boolean): void {
    this.#used.fill(used ? 1 : 0, page, page + count)
    this.host.absentPages.mark(this.base + page * PAGE_SIZE, count, !used)
    const firstFree = this.#used.indexOf(0)
    const present = (firstFree === -1 ? this.maxEntries : firstFree) * PAGE_SIZE
    this.memory.setU32(this.#present, Math.max(0, present - MOST_BYTES + 1))
  }

  #isFree(page: number, count: number): boolean {
    return !this.#used.subarray(page, page + count).includes(1)
  }

  #find(count: number): number {
    for (let page = 0; page + count <= this.maxEntries;) {
      const taken = this.#used.subarray(page, page + count).lastIndexOf(1)
      if (taken < 0) return page
      page += taken + 1
    }
    return -1
  }
}
