/** Kinds of CO-RE relocations: enum bpf_core_relo_kind, include/uapi/linux/bpf.h. */
export const CoreKind = {
  FIELD_BYTE_OFFSET: 0,
  FIELD_BYTE_SIZE: 1,
  FIELD_EXISTS: 2,
  FIELD_SIGNED: 3,
  FIELD_LSHIFT_U64: 4,
  FIELD_RSHIFT_U64: 5,
  TYPE_ID_LOCAL: 6,
  TYPE_ID_TARGET: 7,
  TYPE_EXISTS: 8,
  TYPE_SIZE: 9,
  ENUMVAL_EXISTS: 10,
  ENUMVAL_VALUE: 11,
  TYPE_MATCHES: 12,
} as const

const NAMES = [
  'byte_off',
  'byte_sz',
  'field_exists',
  'signed',
  'lshift_u64',
  'rshift_u64',
  'local_type_id',
  'target_type_id',
  'type_exists',
  'type_size',
  'enumval_exists',
  'enumval_value',
  'type_matches',
]

/** Name of a kind as libbpf prints it. */
export function coreKindName(kind: number): string {
  return NAMES[kind] ?? `kind ${kind}`
}

/** Whether a kind asks about a member or array element. */
export function isFieldKind(kind: number): boolean {
  return kind >= CoreKind.FIELD_BYTE_OFFSET && kind <= CoreKind.FIELD_RSHIFT_U64
}

/** Whether a kind asks about a whole type. */
export function isTypeKind(kind: number): boolean {
  return (kind >= CoreKind.TYPE_ID_LOCAL && kind <= CoreKind.TYPE_SIZE) || kind === CoreKind.TYPE_MATCHES
}

/** Whether a kind asks about an enumerator. */
export function isEnumValueKind(kind: number): boolean {
  return kind === CoreKind.ENUMVAL_EXISTS || kind === CoreKind.ENUMVAL_VALUE
}
