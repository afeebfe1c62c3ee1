import { BpfError } from '../../../bytes/index.ts'
import {
  contextLayout,
  decodeContext,
  encodeContext,
  fieldBytes,
  type ContextFields,
  type ContextValue,
  type RunInput,
} from '../../../loader/index.ts'
import { progTypeName } from '../../../uapi/index.ts'
import type { KernelObjects } from '../kernel/objects.ts'
import { VirtualSocket } from '../kernel/socket.ts'
import { CONTEXT_ADDRESS, PACKET_DATA, PACKET_END } from '../layout.ts'
import type { LinearMemory } from '../memory.ts'
import { testRunError, type ContextOutput, type RunContext } from './context.ts'
import { CONTEXT_LAYOUTS, type ContextLayout } from './layouts.ts'

const NOTHING: Uint8Array = new Uint8Array(0)
/** Room behind data that a program may make longer (bpf_msg_push_data). */
const ROOM = 4096

/** A context that is one structure with pointers to data and a socket: those of cgroup, sock_ops and sk_msg programs ... */
export class StructContext implements RunContext {
  readonly kind: 'struct' = 'struct' as const
  readonly address: number
  readonly type: number
  /** The socket of the run. */
  readonly socket: VirtualSocket
  /** Addresses of the data. */
  data: number = PACKET_DATA
  dataEnd: number = PACKET_DATA
  /** Inputs that are not in the structure, and what helpers put in their place. */
  readonly extras: Map<string, ContextValue> = new Map()
  readonly #memory: LinearMemory
  readonly #layout: ContextLayout
  readonly #size: number
  readonly #offsets: ReadonlyMap<string, { readonly offset: number; readonly size: number }>
  readonly #fields: ContextFields
  readonly #input: Uint8Array

  constructor(memory: LinearMemory, kernel: KernelObjects, type: number, input: RunInput) {
    this.#memory = memory
    this.type = type
    this.#layout = CONTEXT_LAYOUTS[type] ?? {}
    const { size, fields } = contextLayout(type)
    this.#size = size
    this.#offsets = fields
    const { extras = {}, socket } = this.#layout
    const given = { ...input.fields }
    const named = given[socket ?? ''] ?? given['socket']
    for (const name of Object.keys(given)) {
      if (!Object.hasOwn(extras, name)) continue
      this.extras.set(name, given[name] as ContextValue)
      delete given[name]
    }
    delete given['socket']
    if (socket !== undefined && socket !== 'self') delete given[socket]
    if (named !== undefined && !(named instanceof VirtualSocket)) {
      throw new BpfError('usage', `the socket of a ${progTypeName(type)} program is one of createVm().socket()`)
    }
    this.socket = named ?? kernel.defaultSocket
    this.address = socket === 'self' && named !== undefined ? this.socket.address : CONTEXT_ADDRESS
    this.#fields = given
    this.#input = input.data ?? NOTHING
    this.reset(input.ctx ?? NOTHING)
  }

  /** `bytes`: the structure, for callers who do not give fields. */
  reset(bytes: Uint8Array): void {
    const memory = this.#memory
    if (bytes.length > this.#size && bytes.subarray(this.#size).some((byte) => byte !== 0)) {
      throw testRunError('E2BIG', `the context has ${bytes.length} bytes, at most ${this.#size} may differ from 0`)
    }
    const { data, length, socket } = this.#layout
    if (this.address === CONTEXT_ADDRESS) {
      memory.fill(CONTEXT_ADDRESS, 0, this.#size)
      if (socket !== undefined) this.#takeSocket()
      if (bytes.length > 0) memory.write(CONTEXT_ADDRESS, bytes.subarray(0, this.#size))
    }
    const encoded = encodeContext(this.type, this.#fields)
    for (const name of Object.keys(this.#fields)) {
      const { offset, size } = this.#place(name)
      memory.write(this.address + offset, encoded.subarray(offset, offset + size))
    }
    if (data === undefined) return
    if (this.#input.length > PACKET_END - PACKET_DATA - ROOM) {
      throw testRunError('EINVAL', `${this.#input.length} bytes of data are more than there is room for`)
    }
    memory.fill(PACKET_DATA, 0, this.#input.length + ROOM)
    memory.write(PACKET_DATA, this.#input)
    this.moveData(PACKET_DATA, PACKET_DATA + this.#input.length)
    if (length !== undefined && !Object.hasOwn(this.#fields, length)) this.set(length, this.#input.length)
  }

  claim(): void {}

  packetView(): Uint8Array | null {
    return this.output().data
  }

  loadPacket(_offset: number, _size: number): number | null {
    return null
  }

  /** A field of at most 64 bits. */
  get(name: string): bigint {
    const { offset, size } = this.#place(name)
    let value = 0n
    for (let i = size - 1; i >= 0; i--)
      value = (value << 8n) | BigInt(this.#memory.u8[this.address + offset + i] as number)
    return value
  }

  set(name: string, value: ContextValue): void {
    const { offset, size } = this.#place(name)
    this.#memory.write(this.address + offset, fieldBytes(name, size, value))
  }

  /** The data lies elsewhere now. */
  moveData(start: number, end: number): void {
    this.data = start
    this.dataEnd = end
    const { data } = this.#layout
    if (data === undefined) return
    this.set(data[0], start)
    this.set(data[1], end)
  }

  output(): ContextOutput {
    const { returnsData, returnedLength } = this.#layout
    const ctx = this.#memory.read(this.address, this.#size)
    if (returnsData !== true) return { data: null, ctx }
    const most = this.dataEnd - this.data
    const length = returnedLength === undefined ? most : Number(BigInt.asIntN(32, this.get(returnedLength)))
    return { data: this.#memory.read(this.data, Math.max(0, Math.min(length, most))), ctx }
  }

  fields(): ContextFields {
    const all = decodeContext(this.type, this.#memory.read(this.address, this.#size))
    for (const name of [...(this.#layout.data ?? []), 'sk', 'migrating_sk']) delete all[name]
    for (const [name, value] of this.extras) all[name] = value
    return all
  }

  /** What the structure repeats of the socket. */
  #takeSocket(): void {
    const { socket } = this
    const { socket: field } = this.#layout
    const put = (name: string, value: ContextValue): void => {
      if (this.#offsets.has(name)) this.set(name, value)
    }
    if (field === 'self') {
      this.#memory.copy(CONTEXT_ADDRESS, socket.address, this.#size)
      return
    }
    if (field !== undefined && this.type !== SK_LOOKUP) put(field, socket.address)
    put('family', socket.family)
    put('type', socket.type)
    put('protocol', socket.protocol)
    put('state', socket.state)
    put('is_fullsock', 1)
    const ip = socket.ip('dst').length === 4 ? 'ip4' : 'ip6'
    put(`remote_${ip}`, socket.ip('dst'))
    put(`local_${ip}`, socket.ip('src'))
    // As in struct bpf_sock: the local port in host order, the remote one in network order (its upper half here).
    put('local_port', socket.get('src_port'))
    if (this.type !== SK_LOOKUP) put('remote_port', swapped(socket.get('dst_port')))
    put('bpf_sock_ops_cb_flags', socket.callbackFlags)
    if (this.type !== SOCK_OPS) return
    for (const name of this.#offsets.keys()) if (socket.hasTcpField(name)) put(name, socket.tcpField(name))
    const { received, acked } = socket.tcpBytes()
    put('bytes_received', received)
    put('bytes_acked', acked)
  }

  #place(name: string): { readonly offset: number; readonly size: number } {
    const place = this.#offsets.get(name)
    if (place === undefined) {
      throw new BpfError('usage', `contexts of ${progTypeName(this.type)} programs have no field ${name}`)
    }
    return place
  }
}

const SOCK_OPS = 13
const SK_LOOKUP = 30

/** A port in network order as bpf_sock_ops and sk_msg_md show it: in the upper half of 32 bits. */
function swapped(port: number): number {
  return (port << 16) >>> 0
}
