import { BpfError } from '../bytes/index.ts'
import { ProgType, STRUCT, STRUCT_SIZE, contextStruct, progTypeName } from '../uapi/index.ts'

/** Something in the vm that a context points to: a socket of createVm().socket(). */
export interface ContextObject {
  readonly address: number
}

/**
 * A field of a context: a number, bytes (addresses, names; a list of numbers is bytes too), text, an object of the vm, or
 * for programs that get arguments (tracing, LSM, raw tracepoints) a list of numbers and of bytes to point to.
 */
export type ContextValue =
  number | bigint | boolean | string | Uint8Array | ContextObject | readonly (number | bigint | Uint8Array)[]

/** A context by the names of its fields, such as `{ mark: 7 }` for struct __sk_buff. */
export type ContextFields = Readonly<Record<string, ContextValue>>

interface Place {
  readonly offset: number
  readonly size: number
  readonly bits?: number
}

/** struct pt_regs of x86-64, which is the first part of what perf_event programs get. */
const REGISTERS = {
  size: 168,
  fields: new Map(
    Object.entries(STRUCT.bpf_perf_event_data)
      .filter(([name, place]) => name.startsWith('regs.') && !('bits' in place))
      .map(([name, place]): [string, Place] => [name.slice('regs.'.length), place]),
  ),
}

/** What the input and the output of a flow dissector's run are. */
const FLOW_KEYS = {
  size: STRUCT_SIZE.bpf_flow_keys,
  fields: new Map<string, Place>(Object.entries(STRUCT.bpf_flow_keys)),
}

/** Fields of the context structure of a program type that lie at whole bytes. @throws BpfError `usage` for a type without */
export function contextLayout(progType: number): {
  readonly size: number
  readonly fields: ReadonlyMap<string, Place>
} {
  if (progType === ProgType.KPROBE) return REGISTERS
  if (progType === ProgType.FLOW_DISSECTOR) return FLOW_KEYS
  if (progType === ProgType.LIRC_MODE2) return { size: 4, fields: new Map([['sample', { offset: 0, size: 4 }]]) }
  const struct = contextStruct(progType) ?? ''
  if (!Object.hasOwn(STRUCT, struct) || !Object.hasOwn(STRUCT_SIZE, struct)) {
    throw new BpfError('usage', `contexts of ${progTypeName(progType)} programs have no fields with names`)
  }
  const places: Readonly<Record<string, Place>> = STRUCT[struct as keyof typeof STRUCT]
  const fields = new Map(Object.entries(places).filter(([, { bits, size }]) => bits === undefined && size > 0))
  return { size: STRUCT_SIZE[struct as keyof typeof STRUCT_SIZE], fields }
}

/**
 * The bytes of a context whose fields are given by name; others are 0.
 * @throws BpfError `usage` for a field that the structure has not, or a value that does not fit
 */
export function encodeContext(progType: number, given: ContextFields): Uint8Array {
  const { size, fields } = contextLayout(progType)
  const bytes = new Uint8Array(size)
  for (const [name, value] of Object.entries(given)) {
    const place = fields.get(name)
    if (place === undefined) {
      throw new BpfError(
        'usage',
        `struct ${contextStruct(progType)} has no field ${name}; it has ${[...fields.keys()].join(', ')}`,
      )
    }
    bytes.set(fieldBytes(name, place.size, value), place.offset)
  }
  return bytes
}

/** All fields of a context. Numbers of up to 4 bytes, bigints of 8, bytes of what is longer. */
export function decodeContext(progType: number, bytes: Uint8Array): Record<string, ContextValue> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const all: Record<string, ContextValue> = {}
  for (const [name, { offset, size }] of contextLayout(progType).fields) {
    if (offset + size > bytes.length) continue
    if (size === 1) all[name] = view.getUint8(offset)
    else if (size === 2) all[name] = view.getUint16(offset, true)
    else if (size === 4) all[name] = view.getUint32(offset, true)
    else if (size === 8) all[name] = view.getBigUint64(offset, true)
    else all[name] = bytes.slice(offset, offset + size)
  }
  return all
}

/** A value in the bytes of a field, little-endian. @throws BpfError `usage` */
export function fieldBytes(name: string, size: number, value: ContextValue): Uint8Array {
  const bytes = new Uint8Array(size)
  if (typeof value === 'string') return fail(name, 'text', size)
  if (typeof value === 'object' && 'address' in value) return fieldBytes(name, size, value.address)
  if (typeof value === 'object') {
    const given = value instanceof Uint8Array ? value : numbersOf(name, value)
    if (given.length > size) return fail(name, `${given.length} bytes`, size)
    bytes.set(given)
    return bytes
  }
  const number = typeof value === 'number' && !Number.isSafeInteger(value) ? null : BigInt(value)
  const bits = size * 8
  if (number === null || BigInt.asUintN(bits, number) !== (number < 0n ? number + (1n << BigInt(bits)) : number)) {
    return fail(name, String(value), size)
  }
  let rest = BigInt.asUintN(bits, number)
  for (let i = 0; i < size; i++, rest >>= 8n) bytes[i] = Number(rest & 0xffn)
  return bytes
}

function numbersOf(name: string, values: readonly (number | bigint | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(values, (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 256
      ? value
      : fail(name, `the list element ${String(value)}`, 1),
  )
}

function fail(name: string, what: string, size: number): never {
  throw new BpfError('usage', `context field ${name} has ${size} bytes, which ${what} is none for`)
}
