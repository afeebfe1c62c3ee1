import type { MovedPacket } from './context/xdp-batch.ts'
import type { LinearMemory } from './memory.ts'

/** Bytes of an entry of the table: addresses of the first byte and of the byte after the last. */
const ENTRY_SIZE = 8
/** Packets start at such addresses. */
const ALIGNMENT = 16
/** Return values of runs between two looks of JavaScript, one u32 each. */
export const BATCH_RUNS = 4096
const OUT_SIZE: number = BATCH_RUNS * 4
/** Room for a packet that outgrew its place. */
const SLACK = 256

/** Memory that batches use again and again; it only grows. */
export class PacketArea {
  readonly #memory: LinearMemory
  #address = 0
  #size = 0

  constructor(memory: LinearMemory) {
    this.#memory = memory
  }

  /** Address of so many bytes. */
  reserve(size: number): number {
    if (size > this.#size) {
      if (this.#size > 0) this.#memory.free(this.#address, this.#size)
      this.#size = 0
      let rounded = 65536
      while (rounded < size) rounded *= 2
      this.#address = this.#memory.allocate(rounded)
      this.#size = rounded
    }
    return this.#address
  }
}

/** The packets of a batch in memory, behind a table that WebAssembly walks and the place for return values. */
export class PacketTable {
  readonly #memory: LinearMemory
  /** Bytes that each packet may take where it is. */
  readonly #room: Uint32Array
  /** Packets that have outgrown their place: address and size. */
  readonly #grown: Map<number, { readonly address: number; readonly size: number }> = new Map()
  /** Bytes of metadata in front of packets. */
  readonly #meta: Map<number, number> = new Map()
  readonly start: number
  readonly end: number
  readonly out: number

  /** @throws BpfError `limit` */
  constructor(memory: LinearMemory, area: PacketArea, packets: readonly Uint8Array[]) {
    this.#memory = memory
    this.#room = new Uint32Array(packets.length)
    const tableSize = packets.length * ENTRY_SIZE
    const header = Math.ceil((OUT_SIZE + tableSize) / 64) * 64
    let size = 0
    for (const packet of packets) size += aligned(packet.length)
    // Aligned to 64, the usual size of a cache line.
    const address = Math.ceil(area.reserve(header + size + 64) / 64) * 64
    this.out = address
    this.start = address + OUT_SIZE
    this.end = this.start + tableSize
    const { u8 } = memory
    const table = new Uint32Array(memory.wasm.buffer, this.start, packets.length * 2)
    let at = address + header
    for (let i = 0; i < packets.length; i++) {
      const packet = packets[i] as Uint8Array
      const { length } = packet
      u8.set(packet, at)
      table[i * 2] = at
      table[i * 2 + 1] = at + length
      at += aligned(length)
      this.#room[i] = aligned(length)
    }
  }

  /** Address of the entry of a packet. */
  entry(index: number): number {
    return this.start + index * ENTRY_SIZE
  }

  /** The packet as it is now, behind the metadata that the last run gave it. */
  view(index: number): Uint8Array {
    const start = this.#memory.u32(this.entry(index)) - (this.#meta.get(index) ?? 0)
    return this.#memory.u8.subarray(start, this.#memory.u32(this.entry(index) + 4))
  }

  /** Takes a packet back that lies elsewhere in memory. */
  put({ entry, meta, data, end }: MovedPacket): void {
    const memory = this.#memory
    const index = (entry - this.start) / ENTRY_SIZE
    const size = end - meta
    let to = memory.u32(entry) - (this.#meta.get(index) ?? 0)
    if (size > (this.#room[index] as number)) {
      const grown = this.#grown.get(index)
      to = memory.allocate(size + SLACK)
      if (grown !== undefined) memory.free(grown.address, grown.size)
      this.#grown.set(index, { address: to, size: size + SLACK })
      this.#room[index] = size + SLACK
    }
    memory.copy(to, meta, size)
    memory.setU32(entry, to + data - meta)
    memory.setU32(entry + 4, to + size)
    if (data > meta) this.#meta.set(index, data - meta)
    else this.#meta.delete(index)
  }

  /** Gives back what packets have taken beside the area. */
  release(): void {
    for (const { address, size } of this.#grown.values()) this.#memory.free(address, size)
    this.#grown.clear()
  }
}

function aligned(length: number): number {
  return (length + ALIGNMENT - 1) & -ALIGNMENT
}
