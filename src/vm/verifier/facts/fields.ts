import { BtfKind, type Btf, type BtfType } from '../../../btf/index.ts'

/** Kind of a field that plain loads and stores must not touch. */
export type FieldKind =
  | 'bpf_spin_lock'
  | 'bpf_res_spin_lock'
  | 'bpf_timer'
  | 'bpf_wq'
  | 'bpf_task_work'
  | 'bpf_list_head'
  | 'bpf_list_node'
  | 'bpf_rb_root'
  | 'bpf_rb_node'
  | 'bpf_refcount'
  | 'kptr'
  | 'uptr'

export interface SpecialField {
  readonly kind: FieldKind
  /** Bytes from the start of the value. */
  readonly offset: number
  readonly size: number
  /** Which kernel pointer: its tag. */
  readonly tag?: string
  /** Name of the structure that it points to. */
  readonly target?: string
}

const STRUCTS: Readonly<Record<string, FieldKind>> = {
  bpf_spin_lock: 'bpf_spin_lock',
  bpf_res_spin_lock: 'bpf_res_spin_lock',
  bpf_timer: 'bpf_timer',
  bpf_wq: 'bpf_wq',
  bpf_task_work: 'bpf_task_work',
  bpf_list_head: 'bpf_list_head',
  bpf_list_node: 'bpf_list_node',
  bpf_rb_root: 'bpf_rb_root',
  bpf_rb_node: 'bpf_rb_node',
  bpf_refcount: 'bpf_refcount',
}
const POINTER_TAGS: ReadonlySet<string> = new Set(['kptr', 'kptr_untrusted', 'percpu_kptr', 'uptr'])
/** More special fields than that (BTF_FIELDS_MAX) and the kernel makes the map without knowing any of them. */
const MAX_FIELDS = 11

/** Special fields of a type and of the structures and small arrays inside of it. */
export function findFields(btf: Btf, typeId: number): readonly SpecialField[] {
  const found: SpecialField[] = []
  collect(btf, typeId, 0, found, 0)
  if (found.length > MAX_FIELDS) return []
  return found.sort((a, b) => a.offset - b.offset)
}

function collect(btf: Btf, id: number, at: number, found: SpecialField[], depth: number): void {
  if (depth > 8 || found.length > MAX_FIELDS) return
  const type = resolve(btf, id)
  if (type === null) return
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (type.kind) {
    case BtfKind.STRUCT: {
      const kind = STRUCTS[type.name]
      if (kind !== undefined) {
        found.push({ kind, offset: at, size: type.size })
        return
      }
      for (const member of type.members) collect(btf, member.type, at + (member.bitOffset >> 3), found, depth + 1)
      return
    }
    case BtfKind.DATASEC:
      for (const v of type.vars) {
        const variable = btf.type(v.type)
        if (variable.kind === BtfKind.VAR) collect(btf, variable.type, at + v.offset, found, depth + 1)
      }
      return
    case BtfKind.ARRAY: {
      const size = btf.sizeOf(type.elementType)
      const before = found.length
      collect(btf, type.elementType, at, found, depth + 1)
      const each = found.slice(before)
      if (each.length === 0) return
      for (let i = 1; i < type.length && found.length <= MAX_FIELDS; i++) {
        for (const field of each) found.push({ ...field, offset: field.offset + i * size })
      }
      return
    }
    case BtfKind.PTR: {
      const target = btf.type(type.type)
      if (target.kind === BtfKind.TYPE_TAG && POINTER_TAGS.has(target.name)) {
        found.push({
          kind: target.name === 'uptr' ? 'uptr' : 'kptr',
          offset: at,
          size: 8,
          tag: target.name,
          target: btf.name(btf.skipModifiersAndTypedefs(target.type)),
        })
      }
    }
  }
}

function resolve(btf: Btf, id: number): BtfType | null {
  const type = btf.type(btf.skipModifiersAndTypedefs(id))
  return type.kind === BtfKind.VOID ? null : type
}
