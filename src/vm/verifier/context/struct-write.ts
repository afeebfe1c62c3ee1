import { typeOf } from '../facts/types.ts'
import { BtfKind, type Btf } from '../../../btf/index.ts'
import { CONNECTION_WRITABLE, ProgType, type WritableStruct } from '../../../uapi/index.ts'
import { deny } from '../reject.ts'
import type { Reg } from '../state/register.ts'
import type { Walk } from '../walk.ts'

const TAKES_CONNECTIONS: ReadonlySet<number> = new Set<number>([ProgType.XDP, ProgType.SCHED_CLS, ProgType.SCHED_ACT])

/** A store into a structure of the kernel: few programs may, and only to some fields. */
export function checkStructWrite(walk: Walk, reg: Reg, off: number, size: number): void {
  const { kernelBtf, target, type } = walk.facts
  const row = target?.structOps?.row
  const writable = row?.writable ?? (TAKES_CONNECTIONS.has(type) ? CONNECTION_WRITABLE : [])
  const struct = kernelBtf?.name(reg.btfId) ?? ''
  const rules = writable.find((w) => w.struct === struct)
  if (kernelBtf === null || rules === undefined) return deny(row?.elsewhere ?? 'only read is supported')
  const end = endOfField(kernelBtf, reg.btfId, rules, off)
  if (end === null) return deny(`no write support to ${struct} at off ${off}`)
  if (off + size > end) {
    deny(`write access at off ${off} with size ${size} beyond the member of ${struct} ended at ${end}`)
  }
}

/** Where the field ends that may be written at an offset; null when there is none. */
function endOfField(btf: Btf, id: number, rules: WritableStruct, off: number): number | null {
  for (const path of rules.fields) {
    const field = locate(btf, id, path)
    if (field?.at === off) return field.end
  }
  for (const { path, from, to } of rules.areas) {
    const field = locate(btf, id, path)
    if (field === null) continue
    const end = to === undefined ? field.end : field.at + to
    if (off >= field.at + (from ?? 0) && off < end) return end
  }
  return null
}

/** Offsets of a member of members ("q.qlen"), anonymous ones passed through; the structure itself for ''. */
function locate(btf: Btf, id: number, path: string): { readonly at: number; readonly end: number } | null {
  let at = 0
  let current = btf.skipModifiersAndTypedefs(id)
  for (const name of path === '' ? [] : path.split('.')) {
    const member = memberOf(btf, current, name, 0)
    if (member === null) return null
    at += member.at
    current = btf.skipModifiersAndTypedefs(member.type)
  }
  return { at, end: at + btf.sizeOf(current) }
}

function memberOf(btf: Btf, id: number, name: string, depth: number): { at: number; type: number } | null {
  const type = typeOf(btf, id)
  if ((type.kind !== BtfKind.STRUCT && type.kind !== BtfKind.UNION) || depth > 4) return null
  for (const member of type.members) {
    const at = member.bitOffset >> 3
    if (member.name === name) return { at, type: member.type }
    if (member.name !== '') continue
    const inner = memberOf(btf, btf.skipModifiersAndTypedefs(member.type), name, depth + 1)
    if (inner !== null) return { at: at + inner.at, type: inner.type }
  }
  return null
}
