import { deny, invalid, unsupported } from '../reject.ts'
import { isConst, isZero } from '../domain/bounds.ts'
import { Flag, type Kind, pointerReg, type Reg, regName, unknownReg } from '../state/register.ts'
import { tnumText } from '../text.ts'
import type { ProgramFacts, Walk } from '../walk.ts'
import { accessArguments, hasArguments } from './arguments.ts'
import { type ContextField, fits } from './field.ts'
import { CONTEXT_FIELDS, SOCKET_FIELDS } from './tables.ts'

/** The pointer must be as it was given: no offset at all. */
export function checkUnmodified(reg: Reg, regno: number, fixedAllowed: boolean = false): void {
  const name = regName(reg)
  if (reg.off < 0) deny(`negative offset ${name} ptr R${regno} off=${reg.off} disallowed`)
  if (!fixedAllowed && reg.off !== 0) deny(`dereference of modified ${name} ptr R${regno} off=${reg.off} disallowed`)
  if (!isConst(reg.value) || !isZero(reg.value))
    deny(`variable ${name} access var_off=${tnumText(reg.value)} disallowed`)
}

/**
 * Offsets that an argument of a call may have: memory any, pointers to structures a fixed one, everything else none; what
 * is released must be the very pointer that was got.
 */
export function checkArgumentOffset(reg: Reg, regno: number, released: boolean): void {
  if (released) {
    if (reg.off !== 0) {
      invalid(`R${regno} must have zero offset when passed to release func or trusted arg to kfunc`)
    }
    return checkUnmodified(reg, regno)
  }
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (reg.kind) {
    case '?':
      return deny('variable ? access var_off=(0x0; 0xffffffffffffffff) disallowed')
    case 'scalar':
    case 'fp':
    case 'pkt':
    case 'pkt_meta':
    case 'map_key':
    case 'map_value':
    case 'mem':
    case 'buf':
    case 'arena':
      return
    case 'ptr_':
      return checkUnmodified(reg, regno, FIXED_OFFSET.has(reg.flags))
    default:
      return checkUnmodified(reg, regno)
  }
}

/** Modifiers of pointers to structures that may point into them. */
const FIXED_OFFSET: ReadonlySet<number> = new Set<number>([
  0,
  Flag.ALLOC,
  Flag.TRUSTED,
  Flag.RCU,
  Flag.ALLOC | Flag.NON_OWN_REF,
  Flag.ALLOC | Flag.NON_OWN_REF | Flag.RCU,
])

function find(
  fields: readonly ContextField[],
  off: number,
  size: number,
  write: boolean,
  attachType: number,
): ContextField | null {
  if (off < 0 || off % size !== 0) return null
  const field = fields.find((f) => off >= f.at && off < f.end)
  if (field === undefined) return null
  if (field.attach !== undefined && !field.attach.includes(attachType)) return null
  const sizes = write ? field.write : field.read
  if (sizes === null) return null
  if (write && field.writeAttach !== undefined && !field.writeAttach.includes(attachType)) return null
  if (field.wide === true && size > 4 && off + size <= field.end) return field
  if (field.wide === true && field.end - field.at === 2 && size === 4) return field
  if (!fits(sizes, size, off - field.at)) return null
  if (sizes === 'any' && off + size > field.end) return null
  return field
}

/** `ptr(reg)` of a field: what the load gives. */
function give(walk: Walk, field: ContextField): Reg {
  if (field.gives === undefined) return unknownReg()
  const reg = pointerReg(field.gives, field.flags ?? 0)
  if (reg.mayBeNull) reg.id = walk.newId()
  if (field.struct !== undefined) {
    const id = walk.facts.kernelBtf?.findByName(field.struct)
    if (id === undefined) unsupported(`struct ${field.struct} without kernel BTF`)
    reg.btfId = id
  }
  return reg
}

/** A load (what it gives) or store of the program's context. */
export function accessContext(
  walk: Walk,
  reg: Reg,
  regno: number,
  off: number,
  size: number,
  write: boolean,
  signed: boolean,
): Reg {
  checkUnmodified(reg, regno)
  const { facts } = walk
  if (hasArguments(facts.type)) return accessArguments(walk, off, size, write)
  const fields = CONTEXT_FIELDS[facts.type]
  if (fields === undefined) unsupported(`the context of program type ${facts.type}`)
  const field = find(fields, off, size, write, facts.attachType)
  const needs = facts.bpf ? undefined : field?.needBpf
  const isMissing = needs === 'all' || (needs === 'write' && write)
  if (field === null || isMissing || (signed && isPacketKind(field.gives))) {
    deny(`invalid bpf_context access off=${off} size=${size}`)
  }
  return give(walk, field)
}

function isPacketKind(kind: Kind | undefined): boolean {
  return kind === 'pkt' || kind === 'pkt_end' || kind === 'pkt_meta'
}

/** A load of a socket's field. */
export function accessSocket(reg: Reg, regno: number, off: number, size: number): Reg {
  const { value } = reg
  if (!isConst(value) || !isZero(value)) {
    deny(`R${regno} invalid variable socket access off=${off}`)
  }
  const fields = SOCKET_FIELDS[reg.kind] as readonly ContextField[]
  const field = find(fields, off, size, false, 0)
  if (field === null) deny(`R${regno} invalid ${reg.kind} access off=${off} size=${size}`)
  return unknownReg()
}

/** Program types whose packet a store may change. */
export function mayWritePacket(facts: ProgramFacts): boolean {
  return WRITES_PACKET.has(facts.type)
}

const WRITES_PACKET: ReadonlySet<number> = new Set([3, 4, 6, 12, 14, 16, 25])
