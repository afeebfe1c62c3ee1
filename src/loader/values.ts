import { readValue, writeValue, type Btf, type BtfValueInput } from '../btf/index.ts'
import { BpfError } from '../bytes/index.ts'

/** A value by its C type; its bytes when there is no type. */
export function readVariable(btf: Btf | null, typeId: number, bytes: Uint8Array): unknown {
  if (btf === null || typeId === 0) return bytes.slice()
  return readValue(btf, typeId, bytes)
}

/**
 * Writes a value by its C type, or bytes of the same size.
 * @throws BpfError `type-mismatch`
 */
export function writeVariable(btf: Btf | null, typeId: number, value: unknown, into: Uint8Array, name: string): void {
  if (value instanceof Uint8Array) {
    if (value.length !== into.length) {
      throw new BpfError('type-mismatch', `${name}: ${value.length} bytes were given, it has ${into.length}`)
    }
    into.set(value)
    return
  }
  if (btf === null || typeId === 0) {
    throw new BpfError('type-mismatch', `${name}: only bytes can be written, its type is not known`)
  }
  writeValue(btf, typeId, value as BtfValueInput, into)
}
