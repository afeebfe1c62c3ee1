import { BtfKind, type Btf } from '../../btf/index.ts'
import { BpfError, isBpfError } from '../../bytes/index.ts'
import { typesAreCompatible } from '../core/compat.ts'
import { essentialName } from '../core/names.ts'
import { describeType } from '../core/spec.ts'
import { refOf } from '../core/types.ts'
import type { ExternSpec } from '../spec.ts'

/** A kernel module's BTF, split on top of the kernel's. */
export interface ModuleBtf {
  readonly name: string
  readonly btf: Btf
}

/** All of them, or how to get them, as opening them takes time. */
export type ModuleBtfs = readonly ModuleBtf[] | (() => readonly ModuleBtf[])

/** What a kernel symbol came to. */
export type ResolvedSymbol =
  /** A variable or function in a BTF; `module` null for the kernel's own. */
  | { readonly kind: 'btf'; readonly btfId: number; readonly module: string | null }
  /** There is no kernel BTF, and the backend goes by names. */
  | { readonly kind: 'byName' }
  /** Without a type: its address is the backend's business. */
  | { readonly kind: 'address' }
  /** Weak, and not there. */
  | { readonly kind: 'absent' }

/**
 * Finds a .ksyms extern in the kernel's BTF, then in the modules' (libbpf, bpf_object__resolve_ksyms_btf_id). The types
 * must be compatible; a weak function of another type counts as absent, a variable never does.
 * @throws BpfError `not-found`, `type-mismatch`
 */
export function resolveSymbol(
  extern: ExternSpec,
  local: Btf,
  kernel: Btf | null,
  modules: () => readonly ModuleBtf[],
): ResolvedSymbol {
  const isFunction = extern.kind === 'kfunc'
  if (!isFunction && extern.typeId === 0) return { kind: 'address' }
  if (kernel === null) {
    if (extern.weak) return { kind: 'absent' }
    throw new BpfError('not-found', `kernel symbol '${extern.name}' needs the kernel's BTF, which is not known`)
  }
  const name = isFunction ? essentialName(extern.name) : extern.name
  const kind = isFunction ? BtfKind.FUNC : BtfKind.VAR
  const found = findSymbol(name, kind, kernel, modules)
  if (found === null) {
    if (extern.weak) return { kind: 'absent' }
    throw new BpfError('not-found', `kernel symbol '${extern.name}' is not in the BTF of the kernel or its modules`)
  }
  const localId = isFunction ? refOf(local, extern.typeId) : extern.typeId
  const targetId = found.btf.skipModifiersAndTypedefs(refOf(found.btf, found.id))
  if (!isCompatible(local, localId, found.btf, targetId)) {
    if (isFunction && extern.weak) return { kind: 'absent' }
    throw new BpfError(
      'type-mismatch',
      `kernel symbol '${extern.name}' is a ${describeType(found.btf, targetId)} of other shape than the ` +
        `${describeType(local, localId)} that the object declares`,
    )
  }
  return { kind: 'btf', btfId: found.id, module: found.module }
}

function isCompatible(local: Btf, localId: number, target: Btf, targetId: number): boolean {
  try {
    return typesAreCompatible(local, localId, target, targetId)
  } catch (error) {
    if (isBpfError(error) && error.code === 'core') return false
    throw error
  }
}

function findSymbol(
  name: string,
  kind: typeof BtfKind.FUNC | typeof BtfKind.VAR,
  kernel: Btf,
  modules: () => readonly ModuleBtf[],
): { readonly btf: Btf; readonly id: number; readonly module: string | null } | null {
  const id = kernel.findByName(name, kind)
  if (id !== undefined) return { btf: kernel, id, module: null }
  for (const { btf, name: module } of modules()) {
    const own = btf.findAllByName(name).find((candidate) => candidate >= btf.firstId && btf.kind(candidate) === kind)
    if (own !== undefined) return { btf, id: own, module }
  }
  return null
}
