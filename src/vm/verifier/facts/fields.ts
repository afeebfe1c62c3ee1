import { BtfKind, type Btf, type BtfArray, type BtfType } from '../../../btf/index.ts'

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
  /** Type of that structure in the program's BTF. */
  readonly targetId?: number
  /** What a list or tree holds. */
  readonly root?: GraphRoot
}

/** Elements of a list or tree, as the tag `contains:TYPE:NODE` says. */
export interface GraphRoot {
  /** Structure in the program's BTF. */
  readonly valueId: number
  /** Offset of the node in it. */
  readonly nodeOffset: number
}

/** The kernel's word for a field in its messages. */
export function fieldName(field: SpecialField): string {
  return field.kind === 'kptr' ? (field.tag === 'percpu_kptr' ? 'percpu_kptr' : 'kptr') : field.kind
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
  if (!collect(btf, typeId, 0, found, 0, null) || !isComplete(found)) return []
  return found.sort((a, b) => a.offset - b.offset)
}

/** Fields that can be in a value only once. */
const UNIQUE: ReadonlySet<FieldKind> = new Set<FieldKind>([
  'bpf_spin_lock',
  'bpf_res_spin_lock',
  'bpf_timer',
  'bpf_wq',
  'bpf_task_work',
  'bpf_refcount',
])

/** Whether the kernel takes the fields together: otherwise it behaves as if there were none. */
function isComplete(fields: readonly SpecialField[]): boolean {
  const has = (...kinds: FieldKind[]): boolean => fields.some((f) => kinds.includes(f.kind))
  if (fields.length > MAX_FIELDS || (has('bpf_spin_lock') && has('bpf_res_spin_lock'))) return false
  if (has('bpf_list_head', 'bpf_rb_root') && !has('bpf_spin_lock', 'bpf_res_spin_lock')) return false
  if (has('bpf_list_node') && has('bpf_rb_node') && !has('bpf_refcount')) return false
  return [...UNIQUE].every((kind) => fields.filter((f) => f.kind === kind).length <= 1)
}

/** Where a tag of a field would be: on the variable, or on a member of a structure. */
interface Tagged {
  readonly id: number
  readonly index: number
}

/** Adds the fields of a type; false when one of them is malformed. */
function collect(
  btf: Btf,
  id: number,
  at: number,
  found: SpecialField[],
  depth: number,
  tagged: Tagged | null,
): boolean {
  if (depth > 8 || found.length > MAX_FIELDS) return true
  const type = resolve(btf, id)
  if (type === null) return true
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (type.kind) {
    case BtfKind.STRUCT: {
      const kind = STRUCTS[type.name]
      if (kind === undefined) {
        return type.members.every((member, index) =>
          collect(btf, member.type, at + (member.bitOffset >> 3), found, depth + 1, { id: type.id, index }),
        )
      }
      const isRoot = kind === 'bpf_list_head' || kind === 'bpf_rb_root'
      const root = isRoot && tagged !== null ? graphRoot(btf, tagged, kind) : null
      if (isRoot && root === null) return false
      found.push({ kind, offset: at, size: type.size, ...(root === null ? {} : { root }) })
      return true
    }
    case BtfKind.DATASEC:
      return type.vars.every((v) => {
        const variable = btf.type(v.type)
        if (variable.kind !== BtfKind.VAR) return true
        return collect(btf, variable.type, at + v.offset, found, depth + 1, { id: v.type, index: -1 })
      })
    case BtfKind.ARRAY:
      return collectArray(btf, type, at, found, depth, tagged)
    case BtfKind.PTR:
      return collectPointer(btf, type.type, at, found)
    default:
      return true
  }
}

function collectArray(
  btf: Btf,
  type: BtfArray,
  at: number,
  found: SpecialField[],
  depth: number,
  tagged: Tagged | null,
): boolean {
  if (type.length === 0) return true
  const size = btf.sizeOf(type.elementType)
  const before = found.length
  if (!collect(btf, type.elementType, at, found, depth + 1, tagged)) return false
  const each = found.slice(before)
  if (each.length === 0) return true
  for (let i = 1; i < type.length && found.length <= MAX_FIELDS; i++) {
    for (const field of each) found.push({ ...field, offset: field.offset + i * size })
  }
  return true
}

/** Pointers with a tag are kernel pointers, and must point to a structure. */
function collectPointer(btf: Btf, to: number, at: number, found: SpecialField[]): boolean {
  const target = btf.type(to)
  if (target.kind !== BtfKind.TYPE_TAG || !POINTER_TAGS.has(target.name)) return true
  const targetId = btf.skipModifiersAndTypedefs(target.type)
  found.push({
    kind: target.name === 'uptr' ? 'uptr' : 'kptr',
    offset: at,
    size: 8,
    tag: target.name,
    target: btf.name(targetId),
    targetId,
  })
  return true
}

function resolve(btf: Btf, id: number): BtfType | null {
  const type = btf.type(btf.skipModifiersAndTypedefs(id))
  return type.kind === BtfKind.VOID ? null : type
}

const NODES: Readonly<Record<string, string>> = { bpf_list_head: 'bpf_list_node', bpf_rb_root: 'bpf_rb_node' }

function graphRoot(btf: Btf, tagged: Tagged, kind: FieldKind): GraphRoot | null {
  const tag = declTags(btf).get(`${tagged.id} ${tagged.index}`)
  const [value, node] = tag?.slice('contains:'.length).split(':') ?? []
  const valueId = value === undefined ? undefined : btf.findByName(value, BtfKind.STRUCT)
  if (valueId === undefined) return null
  const struct = btf.type(valueId)
  if (struct.kind !== BtfKind.STRUCT) return null
  const member = struct.members.find((m) => m.name === node && btf.name(m.type) === NODES[kind])
  return member === undefined ? null : { valueId, nodeOffset: member.bitOffset >> 3 }
}

const TAGS: WeakMap<Btf, Map<string, string>> = new WeakMap()

/** Tags that say what a list or tree holds, by type and component. */
function declTags(btf: Btf): ReadonlyMap<string, string> {
  const known = TAGS.get(btf)
  if (known !== undefined) return known
  const made = new Map<string, string>()
  for (const type of btf.types()) {
    if (type.kind !== BtfKind.DECL_TAG || !type.name.startsWith('contains:')) continue
    made.set(`${type.type} ${type.componentIndex}`, type.name)
  }
  TAGS.set(btf, made)
  return made
}

const OBJECTS: WeakMap<Btf, Map<number, readonly SpecialField[]>> = new WeakMap()
/** Kinds that may not be in allocated objects, which know nothing of them. */
const NOT_IN_OBJECTS: ReadonlySet<FieldKind> = new Set<FieldKind>(['bpf_timer', 'bpf_wq', 'bpf_task_work', 'uptr'])

/**
 * Special fields of objects of a structure of the program's own. Only structures that have such a field as a direct
 * member count; the others have none for the kernel.
 */
export function objectFields(btf: Btf, typeId: number): readonly SpecialField[] {
  let cache = OBJECTS.get(btf)
  if (cache === undefined) OBJECTS.set(btf, (cache = new Map()))
  const known = cache.get(typeId)
  if (known !== undefined) return known
  const type = btf.type(typeId)
  const direct =
    type.kind === BtfKind.STRUCT &&
    type.members.some((m) => STRUCTS[btf.name(m.type)] !== undefined || btf.kind(m.type) === BtfKind.PTR)
  const fields = direct ? findFields(btf, typeId).filter((f) => !NOT_IN_OBJECTS.has(f.kind)) : []
  cache.set(typeId, fields)
  return fields
}
