import { decodeContext, encodeContext, type ContextFields, type RunInput } from '../../../loader/index.ts'
import { ProgType, STRUCT, STRUCT_SIZE } from '../../../uapi/index.ts'
import { CONTEXT_ADDRESS, PACKET_DATA, PACKET_END } from '../layout.ts'
import type { LinearMemory } from '../memory.ts'
import { contextBytes, testRunError, type ContextOutput, type RunContext } from './context.ts'
import { ETH_HLEN, SkbField } from './skb.ts'

const KEYS = STRUCT.bpf_flow_keys
const KEYS_SIZE = STRUCT_SIZE.bpf_flow_keys
/** Where struct __sk_buff has the address of the keys. */
const FLOW_KEYS = 144
const KEYS_ADDRESS: number = CONTEXT_ADDRESS + 0x1000
/** Flags that a caller may set (BPF_FLOW_DISSECTOR_F_*). */
const FLAGS = 7

/**
 * Context of flow dissectors: a packet, and struct bpf_flow_keys for them to fill, which is what the test run gives as
 * data. The context of the input is a struct bpf_flow_keys too, of which only the flags count.
 */
export class FlowContext implements RunContext {
  readonly kind: 'raw' = 'raw' as const
  readonly address: number = CONTEXT_ADDRESS
  readonly #memory: LinearMemory
  readonly #given: Uint8Array | null
  #length = 0

  constructor(memory: LinearMemory, input: RunInput) {
    this.#memory = memory
    const { fields } = input
    const bytes = fields === undefined ? input.ctx : encodeContext(ProgType.FLOW_DISSECTOR, fields)
    this.#given = contextBytes(bytes, KEYS_SIZE)
    this.reset(input.data ?? new Uint8Array(0))
  }

  reset(packet: Uint8Array): void {
    if (packet.length < ETH_HLEN || packet.length > PACKET_END - PACKET_DATA) {
      throw testRunError('EINVAL', `the packet has ${packet.length} bytes, at least ${ETH_HLEN} are needed`)
    }
    const memory = this.#memory
    const flags = this.#given?.[KEYS.flags.offset] ?? 0
    if (this.#given?.some((byte, at) => byte !== 0 && at !== KEYS.flags.offset) === true || (flags & ~FLAGS) !== 0) {
      throw testRunError('EINVAL', 'of struct bpf_flow_keys only known flags may differ from 0')
    }
    this.#length = packet.length
    memory.write(PACKET_DATA, packet)
    memory.fill(CONTEXT_ADDRESS, 0, STRUCT_SIZE.__sk_buff)
    memory.setU32(CONTEXT_ADDRESS + SkbField.DATA, PACKET_DATA)
    memory.setU32(CONTEXT_ADDRESS + SkbField.DATA_END, PACKET_DATA + packet.length)
    memory.setU32(CONTEXT_ADDRESS + FLOW_KEYS, KEYS_ADDRESS)
    memory.fill(KEYS_ADDRESS, 0, KEYS_SIZE)
    memory.copy(KEYS_ADDRESS + KEYS.n_proto.offset, PACKET_DATA + 12, 2)
    this.#put('nhoff', ETH_HLEN)
    this.#put('thoff', ETH_HLEN)
    memory.setU32(KEYS_ADDRESS + KEYS.flags.offset, flags)
  }

  claim(): void {}

  packetView(): Uint8Array | null {
    return this.output().data
  }

  loadPacket(_offset: number, _size: number): number | null {
    return null
  }

  output(): ContextOutput {
    // Offsets are kept inside of the packet.
    this.#put('nhoff', Math.min(Math.max(this.#get('nhoff'), ETH_HLEN), this.#length))
    this.#put('thoff', Math.min(Math.max(this.#get('thoff'), this.#get('nhoff')), this.#length))
    return { data: this.#memory.read(KEYS_ADDRESS, KEYS_SIZE), ctx: this.#given?.slice() ?? null }
  }

  /** Fields of struct bpf_flow_keys. */
  fields(): ContextFields {
    return decodeContext(ProgType.FLOW_DISSECTOR, this.output().data ?? new Uint8Array(0))
  }

  #get(field: 'nhoff' | 'thoff'): number {
    return this.#memory.view.getUint16(KEYS_ADDRESS + KEYS[field].offset, true)
  }

  #put(field: 'nhoff' | 'thoff', value: number): void {
    this.#memory.view.setUint16(KEYS_ADDRESS + KEYS[field].offset, value, true)
  }
}
