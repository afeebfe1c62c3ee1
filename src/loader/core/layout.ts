import { cName, type Btf } from '../../btf/index.ts'
import { isBpfError } from '../../bytes/index.ts'
import type { CoreLayout, CoreLayoutRow, CoreMember } from '../spec.ts'
import { essentialName } from './names.ts'
import { describeType } from './spec.ts'
import { countOf, isComposite, kindOf, memberBitOffset, memberBitSize, memberNameOffset, memberType } from './types.ts'

/** Members of one struct that are looked at, those of anonymous ones included; the largest kernel struct has some 500. */
const MAX_MEMBERS = 4096
/** Nesting of anonymous structs and unions that is followed. */
const MAX_DEPTH = 16
/** Most names that are offered for one that is missing. */
const MAX_SIMILAR = 5

/** Two structs or unions side by side: what the object was compiled with, and what it would run on. */
export function compareLayouts(local: Btf, localId: number, target: Btf, targetId: number): CoreLayout {
  const ours = membersOf(local, localId)
  const theirs = new Map(membersOf(target, targetId).map((member) => [member.name, member]))
  const rows = ours.map((member): CoreLayoutRow => {
    const name = essentialName(member.name)
    const other = theirs.get(member.name)
    return { name: member.name, local: member, target: other ?? null, similar: other ? [] : similarTo(name, theirs) }
  })
  const shared = rows.filter((row) => row.target !== null).length
  return {
    local: `${describeType(local, localId)} (${sizeText(local, localId)})`,
    target: `${describeType(target, targetId)} (${sizeText(target, targetId)})`,
    rows,
    otherMembers: theirs.size - shared,
  }
}

function sizeText(btf: Btf, id: number): string {
  const size = btf.sizeOf(id)
  return `${size} byte${size === 1 ? '' : 's'}`
}

function membersOf(btf: Btf, id: number): CoreMember[] {
  const members: CoreMember[] = []
  const visit = (structId: number, base: number, depth: number): void => {
    for (let i = 0; i < countOf(btf, structId) && members.length < MAX_MEMBERS; i++) {
      const typeId = memberType(btf, structId, i)
      const bitOffset = base + memberBitOffset(btf, structId, i)
      const nameOffset = memberNameOffset(btf, structId, i)
      if (nameOffset !== 0) {
        const bitSize = memberBitSize(btf, structId, i)
        members.push({
          name: btf.string(nameOffset),
          type: cName(btf, typeId),
          bitOffset,
          ...sizeOf(btf, typeId, bitSize),
        })
        continue
      }
      const inner = btf.skipModifiersAndTypedefs(typeId)
      if (isComposite(kindOf(btf, inner)) && depth < MAX_DEPTH) visit(inner, bitOffset, depth + 1)
    }
  }
  visit(id, 0, 0)
  return members
}

function sizeOf(btf: Btf, typeId: number, bitSize: number): Pick<CoreMember, 'size' | 'bitSize'> {
  try {
    return { size: btf.sizeOf(typeId), bitSize }
  } catch (error) {
    // A member of a type without a size, in BTF that is not quite right.
    if (isBpfError(error)) return { size: 0, bitSize }
    throw error
  }
}

/** Names that a member may have got: with the old name in it, such as `__state` for `state`, or in which it lies. */
function similarTo(name: string, theirs: ReadonlyMap<string, CoreMember>): string[] {
  const plain = name.replaceAll('_', '').toLowerCase()
  if (plain.length < 3) return []
  return [...theirs.keys()]
    .map((other) => ({ other, text: other.replaceAll('_', '').toLowerCase() }))
    .filter(({ text }) => text.includes(plain) || (text.length >= 3 && plain.includes(text)))
    .sort((a, b) => Math.abs(a.text.length - plain.length) - Math.abs(b.text.length - plain.length))
    .slice(0, MAX_SIMILAR)
    .map(({ other }) => other)
}

/** The comparison as lines of text: name, then type and offset in the object and in the target. */
export function layoutText(layout: CoreLayout): string[] {
  const cells = layout.rows.map((row) => [row.name, memberText(row.local), targetText(row)])
  const header = ['member', `object: ${layout.local}`, `target: ${layout.target}`]
  const widths = [0, 1].map((i) => Math.max(...[header, ...cells].map((row) => row[i]?.length ?? 0)))
  const line = (row: readonly string[]): string =>
    `${(row[0] ?? '').padEnd(widths[0] ?? 0)}  ${(row[1] ?? '').padEnd(widths[1] ?? 0)}  ${row[2] ?? ''}`
  const { otherMembers } = layout
  const rest = otherMembers === 0 ? [] : [`(${otherMembers} more member${otherMembers === 1 ? '' : 's'} in the target)`]
  return [header, ...cells].map(line).concat(rest)
}

function memberText({ type, bitOffset, bitSize, size }: CoreMember): string {
  const at =
    bitSize > 0 || bitOffset % 8 !== 0 ? `bit ${bitOffset}, ${bitSize} bits` : `at ${bitOffset / 8}, ${size} bytes`
  return `${type} ${at}`
}

function targetText({ target, similar }: CoreLayoutRow): string {
  if (target !== null) return memberText(target)
  return similar.length === 0 ? '-' : `- (similar: ${similar.join(', ')})`
}
