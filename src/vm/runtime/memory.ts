import { BpfError } from '../../bytes/index.ts'
import { HEAP_START } from './layout.ts'

const PAGE = 65536
/** wasm32: 4 GiB. */
const MAX_PAGES = 65536
/** Initial size: the fixed areas and a first piece of heap. */
const INITIAL_PAGES = 20

/** What a thread gets of a memory that it shares. */
export interface SharedPart {
  readonly memory: WebAssembly.Memory
  /** Addresses between which the thread may allocate. */
  readonly heap: number
  readonly heapEnd: number
}

function notRecorded(): never {
  throw new BpfError('unsupported', 'a map of a shared vm allocates memory in another way in another thread')
}

/**
 * The one memory in which programs, packets and maps live, with its allocator. Addresses stay valid when it grows;
 * the typed-array views do not, so take them from here each time something may have been allocated in between.
 */
export class LinearMemory {
  readonly wasm: WebAssembly.Memory
  /** Whether several threads use it; buffers are SharedArrayBuffers then. */
  readonly isShared: boolean
  u8: Uint8Array<ArrayBuffer>
  view: DataView<ArrayBuffer>
  /** Size in bytes; the first address that is no memory. */
  size: number
  readonly #limit: number
  /** The first address that this thread may allocate. */
  readonly #first: number
  #next: number = HEAP_START
  /** Whether it belongs to another thread, which alone lets it grow. */
  readonly isAttached: boolean
  /** Freed pieces by size. */
  readonly #free: Map<number, number[]> = new Map()
  /** What is noted of allocations, or repeated. */
  #record: number[] | null = null
  #replay: number[] | null = null

  /**
   * @param limit most bytes that it may grow to
   * @param part of a memory of another thread: what this thread may allocate
   */
  constructor(limit: number, shared: boolean = false, part: SharedPart | null = null) {
    this.isShared = shared
    this.isAttached = part !== null
    this.#first = part?.heap ?? HEAP_START
    this.#limit = part === null ? Math.min(limit, MAX_PAGES * PAGE) : part.heapEnd
    if (part !== null) this.#next = part.heap
    const maximum = Math.max(INITIAL_PAGES, Math.ceil(this.#limit / PAGE))
    this.wasm = part?.memory ?? createMemory(INITIAL_PAGES, maximum, shared)
    this.u8 = new Uint8Array(this.wasm.buffer)
    this.view = new DataView(this.wasm.buffer)
    this.size = this.wasm.buffer.byteLength
  }

  /** Most bytes that it may grow to. */
  get limit(): number {
    return this.#limit
  }

  /** Does something and tells which addresses it allocated. */
  recorded<T>(work: () => T): { readonly result: T; readonly addresses: readonly number[] } {
    const addresses: number[] = []
    this.#record = addresses
    try {
      return { result: work(), addresses }
    } finally {
      this.#record = null
    }
  }

  /**
   * Does what another thread has done to its memory, getting the same addresses; what it writes goes to a memory of its
   * own that nobody sees.
   */
  replayed<T>(addresses: readonly number[], scratch: ArrayBuffer, work: () => T): T {
    const { u8, view } = this
    this.u8 = new Uint8Array(scratch)
    this.view = new DataView(scratch)
    this.#replay = addresses.slice()
    try {
      return work()
    } finally {
      this.u8 = u8
      this.view = view
      this.#replay = null
    }
  }

  /**
   * Zeroed bytes, aligned to 8.
   * @throws BpfError `limit` when the memory may not grow that far
   */
  allocate(size: number): number {
    if (this.#replay !== null) return this.#replay.shift() ?? notRecorded()
    const address = this.allocateOwn(size)
    this.#record?.push(address)
    return address
  }

  /** As allocate(), for what threads that share the memory have each for themselves. */
  allocateOwn(size: number): number {
    const rounded = Math.max(8, Math.ceil(size / 8) * 8)
    const reused = this.#free.get(rounded)?.pop()
    if (reused !== undefined && this.#replay === null) {
      this.u8.fill(0, reused, reused + rounded)
      return reused
    }
    const address = this.#next
    const end = address + rounded
    if (end > this.size || (this.isAttached && end > this.#limit)) this.#grow(end)
    this.#next = end
    return address
  }

  /** Gives back what allocate(size) returned. */
  free(address: number, size: number): void {
    // What another thread has allocated is not this one's to use again.
    if (this.#replay !== null || address < this.#first || (this.isAttached && address >= this.#limit)) return
    const rounded = Math.max(8, Math.ceil(size / 8) * 8)
    const list = this.#free.get(rounded)
    if (list === undefined) this.#free.set(rounded, [address])
    else list.push(address)
  }

  /** A copy of `size` bytes. */
  read(address: number, size: number): Uint8Array {
    return this.u8.slice(address, address + size)
  }

  write(address: number, bytes: Uint8Array): void {
    this.u8.set(bytes, address)
  }

  /** Copies inside the memory; the ranges may overlap. */
  copy(to: number, from: number, size: number): void {
    this.u8.copyWithin(to, from, from + size)
  }

  fill(address: number, value: number, size: number): void {
    this.u8.fill(value, address, address + size)
  }

  u32(address: number): number {
    return this.view.getUint32(address, true)
  }

  setU32(address: number, value: number): void {
    this.view.setUint32(address, value, true)
  }

  u64(address: number): bigint {
    return this.view.getBigUint64(address, true)
  }

  setU64(address: number, value: bigint): void {
    this.view.setBigUint64(address, value, true)
  }

  /** Bytes before the first zero byte, at most `limit`; null when there is no memory before the zero. */
  cString(address: number, limit: number): Uint8Array | null {
    const end = Math.min(address + limit, this.size)
    const zero = this.u8.subarray(address, end).indexOf(0)
    if (zero >= 0) return this.read(address, zero)
    return end === address + limit ? this.read(address, limit) : null
  }

  #grow(end: number): void {
    if (this.isAttached) {
      throw new BpfError('limit', 'a thread of a shared vm has no memory left for itself (its share is fixed)', {
        errno: 'ENOMEM',
      })
    }
    if (end > this.#limit) {
      throw new BpfError(
        'limit',
        `the vm's memory would grow to ${end} bytes, over its limit of ${this.#limit} (option memoryLimit)`,
        { errno: 'ENOMEM' },
      )
    }
    // By a quarter at least, so that many small allocations do not each detach the views.
    const wanted = Math.min(Math.max(end, this.size + (this.size >> 2)), this.#limit)
    const pages = Math.ceil(wanted / PAGE) - this.size / PAGE
    try {
      this.wasm.grow(pages)
    } catch (cause) {
      throw new BpfError('limit', `the host has no memory for a vm of ${end} bytes`, { errno: 'ENOMEM', cause })
    }
    this.u8 = new Uint8Array(this.wasm.buffer)
    this.view = new DataView(this.wasm.buffer)
    this.size = this.wasm.buffer.byteLength
  }
}

/** A WebAssembly memory, or where there is no WebAssembly (node --jitless) something that looks like one. */
function createMemory(initial: number, maximum: number, shared: boolean): WebAssembly.Memory {
  if (typeof WebAssembly !== 'undefined') return new WebAssembly.Memory({ initial, maximum, shared })
  const plain = {
    buffer: new ArrayBuffer(initial * PAGE),
    grow(pages: number): number {
      const before = plain.buffer.byteLength
      const next = new ArrayBuffer(before + pages * PAGE)
      new Uint8Array(next).set(new Uint8Array(plain.buffer))
      plain.buffer = next
      return before / PAGE
    },
  }
  return plain as unknown as WebAssembly.Memory
}
