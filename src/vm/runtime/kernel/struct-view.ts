import { BpfError } from '../../../bytes/index.ts'
import { STRUCT } from '../../../uapi/index.ts'
import type { LinearMemory } from '../memory.ts'

/** Structures of the kernel's user interface, by name. */
export type StructName = keyof typeof STRUCT

/** A field's value: a number of its size, or bytes (addresses, names) from its start. */
export type FieldValue = number | bigint | boolean | Uint8Array | readonly number[]

interface Place {
  readonly offset: number
  readonly size: number
  readonly shift?: number
  readonly bits?: number
}

/** Fields of a structure, by name. */
export function fieldsOf(struct: StructName): Readonly<Record<string, Place>> {
  return STRUCT[struct]
}

/**
 * Writes a field at its place in a structure at `address`.
 * @throws BpfError `usage` for a field that the structure has not, or a value that does not fit
 */
export function writeField(
  memory: LinearMemory,
  address: number,
  struct: StructName,
  name: string,
  value: FieldValue,
): void {
  const place = fieldsOf(struct)[name]
  if (place === undefined || place.bits !== undefined) {
    throw new BpfError('usage', `struct ${struct} has no field ${name}: ${Object.keys(fieldsOf(struct)).join(', ')}`)
  }
  const { offset, size } = place
  if (typeof value === 'object') {
    if (value.length > size) {
      throw new BpfError('usage', `${struct}.${name} has ${size} bytes, ${value.length} were given`)
    }
    memory.write(address + offset, Uint8Array.from(value))
    return
  }
  const number = BigInt(value)
  const bits = BigInt(size * 8)
  if (number >= 1n << bits || number < -(1n << (bits - 1n))) {
    throw new BpfError('usage', `${struct}.${name} has ${size} bytes, ${number} does not fit`)
  }
  let rest = BigInt.asUintN(size * 8, number)
  for (let i = 0; i < size; i++, rest >>= 8n) memory.u8[address + offset + i] = Number(rest & 0xffn)
}

/** Reads a field: a number up to 4 bytes, a bigint of 8, bytes otherwise. */
export function readField(memory: LinearMemory, address: number, struct: StructName, name: string): FieldValue {
  const place = fieldsOf(struct)[name]
  if (place === undefined) return 0
  const at = address + place.offset
  switch (place.size) {
    case 1:
      return memory.u8[at] as number
    case 2:
      return memory.view.getUint16(at, true)
    case 4:
      return memory.u32(at)
    case 8:
      return memory.u64(at)
    default:
      return memory.read(at, place.size)
  }
}
