import { BtfKind, type Btf } from '../../../btf/index.ts'

/** What lies in a value that the kernel keeps for itself: never copied by updates, zeros for user space. */
export type FieldKind = 'lock' | 'timer' | 'work' | 'kptr' | 'list' | 'tree' | 'node' | 'refcount'

export interface SpecialField {
  readonly kind: FieldKind
  /** Bytes from the start of the value. */
  readonly offset: number
  readonly size: number
}

/** Structures with a meaning of their own (btf_parse_fields, kernel/bpf/btf.c), by name. */
const STRUCTS: Readonly<Record<string, FieldKind>> = {
  bpf_spin_lock: 'lock',
  bpf_res_spin_lock: 'lock',
  bpf_timer: 'timer',
  bpf_wq: 'work',
  bpf_task_work: 'work',
  bpf_list_head: 'list',
  bpf_rb_root: 'tree',
  bpf_list_node: 'node',
  bpf_rb_node: 'node',
  bpf_refcount: 'refcount',
}
/** Type tags of pointers to kernel objects. */
const POINTER_TAGS: ReadonlySet<string> = new Set(['kptr', 'kptr_untrusted', 'percpu_kptr', 'uptr'])
/** Nesting and number of fields beyond which nobody goes (the kernel stops at 4 and 11). */
const MAX_DEPTH = 8
const MAX_FIELDS = 4096

/** The special fields of a type, by offset. */
export function specialFields(btf: Btf | null, typeId: number): readonly SpecialField[] {
  const found: SpecialField[] = []
  if (btf !== null && typeId !== 0) walk(btf, typeId, 0, 0, found)
  return found.sort((a, b) => a.offset - b.offset)
}

function walk(btf: Btf, typeId: number, offset: number, depth: number, found: SpecialField[]): void {
  if (depth > MAX_DEPTH || found.length > MAX_FIELDS) return
  const type = btf.type(btf.skipModifiersAndTypedefs(typeId))
  if (type.kind === BtfKind.STRUCT) {
    const kind = Object.hasOwn(STRUCTS, type.name) ? STRUCTS[type.name] : undefined
    if (kind !== undefined) {
      found.push({ kind, offset, size: type.size })
      return
    }
    for (const member of type.members) {
      if (member.bitSize === 0) walk(btf, member.type, offset + member.bitOffset / 8, depth + 1, found)
    }
  } else if (type.kind === BtfKind.DATASEC) {
    for (const variable of type.vars) {
      const target = btf.type(variable.type)
      if (target.kind === BtfKind.VAR) walk(btf, target.type, offset + variable.offset, depth + 1, found)
    }
  } else if (type.kind === BtfKind.ARRAY) {
    const before = found.length
    walk(btf, type.elementType, offset, depth + 1, found)
    if (found.length === before) return
    const first = found.slice(before)
    const size = btf.sizeOf(type.elementType)
    for (let i = 1; i < type.length && found.length <= MAX_FIELDS; i++) {
      for (const field of first) found.push({ ...field, offset: field.offset + i * size })
    }
  } else if (type.kind === BtfKind.PTR) {
    const target = btf.type(type.type)
    if (target.kind === BtfKind.TYPE_TAG && POINTER_TAGS.has(target.name)) {
      found.push({ kind: 'kptr', offset, size: 8 })
    }
  }
}
