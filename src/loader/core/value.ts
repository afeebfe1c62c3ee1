import { BtfKind } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { CoreKind, isEnumValueKind, isFieldKind } from './kinds.ts'
import type { CoreAccessor, CoreSpec } from './spec.ts'
import {
  flagOf,
  intIsPlainSigned,
  intIsSigned,
  isAnyEnum,
  kindOf,
  memberBitSize,
  memberType,
  sizeWord,
} from './types.ts'

/** What one spec gives for a relocation: a 64-bit number in two halves, and the size of the field. */
export interface SpecValue {
  readonly low: number
  readonly high: number
  /** Bytes of the field whose offset this is, 0 when its size does not matter. */
  readonly fieldSize: number
  /** Type of that field. */
  readonly fieldType: number
  /** Whether the instruction must hold the local value before it is changed. */
  readonly validate: boolean
}

/** What a relocation comes to, from the local spec and a target's. */
export interface CoreValue {
  readonly local: SpecValue
  /** Null when the instruction must be poisoned. */
  readonly target: SpecValue | null
  /** Sizes differ in a way that a load or store cannot be adjusted to. */
  readonly sizeMismatch: boolean
}

const NO_FIELD = { fieldSize: 0, fieldType: 0 } as const

function plain(low: number, validate: boolean = true, high: number = 0): SpecValue {
  return { low: low >>> 0, high: high >>> 0, ...NO_FIELD, validate }
}

/**
 * The value of a relocation for a target spec, or for no target at all (libbpf, bpf_core_calc_relo). Without a target,
 * existence and type questions give 0 and everything else poison.
 * @param littleEndian byte order of the object, which decides how bit-fields are shifted
 * @throws BpfError `core` for questions that make no sense, such as the sign of an array element
 */
export function calculate(local: CoreSpec, target: CoreSpec | null, littleEndian: boolean): CoreValue {
  const localValue = specValue(local, littleEndian)
  if (localValue === null) throw new BpfError('core', `kind ${local.kind} has no value`)
  const targetValue = target === null ? missingValue(local.kind) : specValue(target, littleEndian)
  const sizeMismatch =
    target !== null &&
    targetValue !== null &&
    localValue.fieldSize !== targetValue.fieldSize &&
    !isAdjustable(local, localValue, target, targetValue)
  return { local: localValue, target: targetValue, sizeMismatch }
}

/** Loads and stores of pointers and of unsigned integers may change their size: they are zero-extended. */
function isAdjustable(local: CoreSpec, localValue: SpecValue, target: CoreSpec, targetValue: SpecValue): boolean {
  const kind = kindOf(local.btf, localValue.fieldType)
  if (kind !== kindOf(target.btf, targetValue.fieldType)) return false
  if (kind === BtfKind.PTR) return true
  return (
    kind === BtfKind.INT &&
    !intIsPlainSigned(local.btf, localValue.fieldType) &&
    !intIsPlainSigned(target.btf, targetValue.fieldType)
  )
}

function missingValue(kind: number): SpecValue | null {
  if (kind === CoreKind.FIELD_EXISTS || kind === CoreKind.ENUMVAL_EXISTS) return plain(0)
  return isFieldKind(kind) || isEnumValueKind(kind) ? null : plain(0)
}

function specValue(spec: CoreSpec, littleEndian: boolean): SpecValue | null {
  switch (spec.kind) {
    case CoreKind.FIELD_EXISTS:
    case CoreKind.TYPE_EXISTS:
    case CoreKind.TYPE_MATCHES:
    case CoreKind.ENUMVAL_EXISTS:
      return plain(1)
    case CoreKind.TYPE_ID_LOCAL:
    case CoreKind.TYPE_ID_TARGET:
      // Ids change when objects are linked, so what the instruction holds means nothing.
      return plain(spec.rootId, false)
    case CoreKind.TYPE_SIZE:
      return plain(spec.btf.sizeOf(spec.rootId))
    case CoreKind.ENUMVAL_VALUE:
      return enumeratorValue(spec)
    default:
      return fieldValue(spec, littleEndian)
  }
}

function enumeratorValue(spec: CoreSpec): SpecValue {
  const { typeId, index } = spec.accessors[0] as CoreAccessor
  if (kindOf(spec.btf, typeId) === BtfKind.ENUM) {
    const value = spec.btf.word(typeId, 3 + index * 2 + 1)
    return plain(value, true, value >> 31)
  }
  return plain(spec.btf.word(typeId, 3 + index * 3 + 1), true, spec.btf.word(typeId, 3 + index * 3 + 2))
}

function fieldValue(spec: CoreSpec, littleEndian: boolean): SpecValue {
  const { btf, kind, bitOffset } = spec
  const accessor = spec.accessors.at(-1) as CoreAccessor
  if (accessor.nameOffset === 0) {
    const size = btf.sizeOf(accessor.typeId)
    if (kind === CoreKind.FIELD_BYTE_SIZE) return plain(size)
    if (kind !== CoreKind.FIELD_BYTE_OFFSET) {
      throw new BpfError('core', 'only offset and size can be asked of an array element')
    }
    return { low: Math.floor(bitOffset / 8), high: 0, fieldSize: size, fieldType: accessor.typeId, validate: true }
  }
  const memberId = btf.skipModifiersAndTypedefs(memberType(btf, accessor.typeId, accessor.index))
  const memberKind = kindOf(btf, memberId)
  const declaredBits = memberBitSize(btf, accessor.typeId, accessor.index)
  const isBitField = declaredBits > 0
  const { byteOffset, byteSize } = isBitField
    ? bitFieldUnit(sizeWord(btf, memberId), bitOffset, declaredBits)
    : { byteOffset: Math.floor(bitOffset / 8), byteSize: btf.sizeOf(memberId) }
  const bits = isBitField ? declaredBits : byteSize * 8
  // Compilers may load a bit-field in other units than this; its sign and width are the same for all.
  const validate = !isBitField
  switch (kind) {
    case CoreKind.FIELD_BYTE_OFFSET:
      return isBitField
        ? plain(byteOffset, validate)
        : { low: byteOffset, high: 0, fieldSize: byteSize, fieldType: memberId, validate }
    case CoreKind.FIELD_BYTE_SIZE:
      return plain(byteSize, validate)
    case CoreKind.FIELD_SIGNED: {
      const isSigned =
        (isAnyEnum(memberKind) && flagOf(btf, memberId)) || (memberKind === BtfKind.INT && intIsSigned(btf, memberId))
      return plain(isSigned ? 1 : 0)
    }
    case CoreKind.FIELD_LSHIFT_U64: {
      const start = bitOffset - byteOffset * 8
      return plain(littleEndian ? 64 - (start + bits) : (8 - byteSize) * 8 + start, validate)
    }
    case CoreKind.FIELD_RSHIFT_U64:
      return plain(64 - bits)
    default:
      throw new BpfError('core', `its kind ${kind} is unknown`)
  }
}

/** The smallest aligned unit that holds a bit-field, from its declared type up to 8 bytes. */
function bitFieldUnit(declaredSize: number, bitOffset: number, bits: number): { byteOffset: number; byteSize: number } {
  let byteSize = declaredSize
  if (byteSize === 0) throw new BpfError('core', 'a bit-field has a type of no size')
  let byteOffset = Math.floor(bitOffset / 8 / byteSize) * byteSize
  while (bitOffset + bits - byteOffset * 8 > byteSize * 8) {
    if (byteSize >= 8) throw new BpfError('core', 'a bit-field does not fit an aligned load of 64 bits')
    byteSize *= 2
    byteOffset = Math.floor(bitOffset / 8 / byteSize) * byteSize
  }
  return { byteOffset, byteSize }
}

/** Both halves as one number. */
export function wideValue(value: SpecValue): bigint {
  return (BigInt(value.high) << 32n) | BigInt(value.low)
}
