import { BATCH_LEFT_ADDRESS, BATCH_MOVED_ADDRESS } from '../../engine.ts'
import type { LinearMemory } from '../memory.ts'
import { SHORTEST_PACKET, XdpContext } from './xdp.ts'

/** The packets of a batch, as its context sees them. */
export interface BatchPackets {
  /** Address of the table's entry (two u32: start and end) of the packet whose run is under way. */
  current(left: number): number
}

/** Addresses of a packet that is no longer where the batch has it. */
export interface MovedPacket {
  readonly entry: number
  readonly meta: number
  readonly data: number
  readonly end: number
}

const NO_PACKET: Uint8Array = new Uint8Array(SHORTEST_PACKET)

/**
 * The context of XDP programs in a batch. Packets stay where they are until a helper moves or grows one: that one goes
 * to the page with room around it, and back into the batch after the run.
 */
export class XdpBatchContext extends XdpContext {
  readonly #packets: BatchPackets
  /** The run that the fields are of: what BATCH_LEFT_ADDRESS said. */
  #left = 0
  #settled = false

  constructor(memory: LinearMemory, packets: BatchPackets) {
    super(memory, { data: NO_PACKET })
    this.#packets = packets
  }

  /** Between two calls of the engine, which count the runs that are left anew. */
  forget(): void {
    this.#left = 0
  }

  /** After the run of a packet that was moved: where it lies, behind its metadata. */
  moved(): MovedPacket {
    this.memory.setU32(BATCH_MOVED_ADDRESS, 0)
    const entry = this.#packets.current(this.#left)
    this.#left = 0
    return { entry, meta: this.meta, data: this.data, end: this.end }
  }

  protected override sync(): void {
    const left = this.memory.u32(BATCH_LEFT_ADDRESS)
    if (left === this.#left) return
    this.#left = left
    this.#settled = false
    const entry = this.#packets.current(left)
    this.place(this.memory.u32(entry), this.memory.u32(entry + 4))
  }

  protected override beforeMove(): void {
    if (this.#settled) return
    this.settle()
    this.#settled = true
    this.memory.setU32(BATCH_MOVED_ADDRESS, 1)
  }
}
