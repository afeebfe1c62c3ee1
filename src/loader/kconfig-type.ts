import { BtfKind, type Btf } from '../btf/index.ts'

/** What a kconfig value may be declared as (libbpf.c, find_kcfg_type). */
export type KconfigType =
  | { readonly kind: 'bool' }
  | { readonly kind: 'tristate'; readonly size: number }
  | { readonly kind: 'char'; readonly signed: boolean }
  | { readonly kind: 'int'; readonly size: 2 | 4 | 8; readonly signed: boolean }
  | { readonly kind: 'chars'; readonly length: number }

/** The kconfig type of a C type, null when it can hold no kconfig value. */
export function kconfigTypeOf(btf: Btf, typeId: number): KconfigType | null {
  const type = btf.type(btf.skipModifiersAndTypedefs(typeId))
  if (type.kind === BtfKind.INT) {
    const { size, signed } = type
    if (type.bool) return size === 1 ? { kind: 'bool' } : null
    if (size === 1) return { kind: 'char', signed }
    return size === 2 || size === 4 || size === 8 ? { kind: 'int', size, signed } : null
  }
  if (type.kind === BtfKind.ENUM || type.kind === BtfKind.ENUM64) {
    if (type.name !== 'libbpf_tristate' || (type.kind === BtfKind.ENUM && type.size !== 4)) return null
    return { kind: 'tristate', size: type.size }
  }
  if (type.kind !== BtfKind.ARRAY || type.length === 0) return null
  // Broken BTF has arrays of themselves.
  if (btf.kind(btf.skipModifiersAndTypedefs(type.elementType)) !== BtfKind.INT) return null
  const element = kconfigTypeOf(btf, type.elementType)
  return element?.kind === 'char' ? { kind: 'chars', length: type.length } : null
}
