import { MapFlag, MapType } from '../../../uapi/index.ts'
import { accessContext, accessSocket, mayWritePacket } from '../context/access.ts'
import { Bounds, constant64, isConst, valueOf } from '../domain/bounds.ts'
import { signExtend64, truncate } from '../domain/resize.ts'
import { umaxOf, sminOf } from '../domain/bounds.ts'
import { tnumAdd, tnumAligned } from '../domain/tnum.ts'
import { deny } from '../reject.ts'
import { Flag, isPacketPointer, type Kind, type Reg, regName, scalarReg, unknownReg } from '../state/register.ts'
import type { MapFacts } from '../facts/maps.ts'
import { checkStoredSecret } from '../privilege.ts'
import { tnumText } from '../text.ts'
import type { Walk } from '../walk.ts'
import type { SpecialField } from '../facts/fields.ts'
import { accessBtf, loadMapStruct } from './btf.ts'
import { accessKptr } from './kptr.ts'
import { checkPacket, checkRegion } from './region.ts'
import { checkStackBounds, readStack, writeStack } from './stack.ts'

/** One memory access of an instruction. */
export interface Access {
  readonly regno: number
  readonly off: number
  readonly size: number
  readonly write: boolean
  readonly signed: boolean
  /** Register stored, -1 for the immediate, -2 when the value is unknown (atomics). */
  readonly source: number
  readonly imm: number
  /** Natural alignment is demanded, whatever the machine does. */
  readonly atomic?: boolean
  /** No register gets what is loaded. */
  readonly unused?: boolean
}

/** What the kernel calls the memory of a misaligned access, where it has a word for it. */
const ALIGNED: ReadonlyMap<Kind, string> = new Map([
  ['fp', 'stack '],
  ['map_value', 'value '],
  ['map_key', 'key '],
  ['ctx', 'context '],
  ['flow_keys', 'flow keys '],
  ['sock', 'sock '],
  ['sock_common', 'sock_common '],
  ['tcp_sock', 'tcp_sock '],
  ['xdp_sock', 'xdp_sock '],
])

/**
 * In arenas any address may be used.
 * @param natural alignment is demanded, whatever the machine does
 */
export function checkAlignment(walk: Walk, reg: Reg, off: number, size: number, natural: boolean): void {
  const isStack = reg.kind === 'fp'
  if (size === 1 || reg.kind === 'arena' || (!isStack && !natural && !walk.facts.strictAlignment)) return
  const sum = new Bounds()
  // Packets begin two bytes behind a multiple of four (NET_IP_ALIGN), for the kernel everywhere.
  const start = isPacketPointer(reg.kind) ? 2 : 0
  tnumAdd(sum, reg.value, Bounds.known(0, (start + reg.off + off) | 0))
  if (tnumAligned(sum, size)) return
  if (isPacketPointer(reg.kind)) {
    deny(`misaligned packet access off 2+${tnumText(reg.value)}+${reg.off}+${off} size ${size}`)
  }
  const what = (reg.flags === 0 && ALIGNED.get(reg.kind)) || ''
  deny(`misaligned ${what}access off ${tnumText(reg.value)}+${reg.off}+${off} size ${size}`)
}

/** Checks an access and performs it on the state; for a load, what it gives. */
export function access(walk: Walk, a: Access): Reg {
  const reg = walk.reg(a.regno)
  checkAlignment(walk, reg, a.off, a.size, a.atomic === true)
  const loaded = perform(walk, reg, a, a.off + reg.off)
  if (a.write || a.size === 8 || loaded.kind !== 'scalar') return loaded
  const value = a.signed ? signExtend64(loaded.value, a.size) : truncate(loaded.value, a.size)
  return value === loaded.value ? loaded : loaded.withValue(value)
}

/** Whether stores through a pointer are allowed at all, so that it matters what is stored. */
function mayStore(walk: Walk, reg: Reg): boolean {
  if (isPacketPointer(reg.kind)) return mayWritePacket(walk.facts)
  return reg.kind !== 'mem' || (reg.flags & Flag.RDONLY) === 0
}

function perform(walk: Walk, reg: Reg, a: Access, off: number): Reg {
  const { regno, size, write } = a
  const nullable = reg.mayBeNull
  if (write && mayStore(walk, reg)) checkStoredSecret(walk, reg, a.source)
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (reg.kind) {
    case 'map_key':
      if (nullable) break
      if (write) deny(`write to change key R${regno} not allowed`)
      checkRegion(reg, regno, off, size, reg.map?.keySize ?? 0, false)
      return unknownReg()
    case 'map_value':
      if (nullable) break
      return accessMapValue(walk, reg, a, off)
    case 'mem': {
      if (nullable) break
      const isReadOnly = (reg.flags & Flag.RDONLY) !== 0
      if (write && isReadOnly) deny(`R${regno} cannot write into ${regName(reg)}`)
      if (isReadOnly && (reg.flags & Flag.UNTRUSTED) !== 0) return unknownReg()
      checkRegion(reg, regno, off, size, reg.memSize, false)
      return unknownReg()
    }
    case 'ctx':
      return accessContext(walk, reg, regno, a.off + (reg.off === 0 ? 0 : reg.off), size, write, a.signed)
    case 'fp':
      checkStackBounds(walk, reg, regno, off, size, write ? 'write to' : 'read from')
      if (!write) return readStack(walk, reg, regno, off, size, a.unused === true)
      writeStack(walk, reg, off, size, a.source, a.imm)
      return reg
    case 'pkt':
    case 'pkt_meta':
      if (write && !mayWritePacket(walk.facts)) deny('cannot write into packet')
      checkPacket(reg, regno, off, size, false)
      return unknownReg()
    case 'flow_keys':
      if (off < 0 || off + size > 56) deny(`invalid access to flow keys off=${off} size=${size}`)
      return unknownReg()
    case 'sock':
    case 'sock_common':
    case 'tcp_sock':
    case 'xdp_sock':
      if (nullable) break
      if (write) deny(`R${regno} cannot write into ${regName(reg)}`)
      return accessSocket(reg, regno, off, size)
    case 'tp_buffer':
      checkBuffer(reg, regno, off, 'tracepoint', size)
      return unknownReg()
    case 'ptr_':
      if (nullable) break
      return accessBtf(walk, reg, regno, off, size, write)
    case 'map_ptr':
      if (nullable) break
      return loadMapStruct(walk, reg, regno, off, size, write)
    case 'buf': {
      if (nullable) break
      const isReadOnly = (reg.flags & Flag.RDONLY) !== 0
      if (write && isReadOnly) deny(`R${regno} cannot write into ${regName(reg)}`)
      checkBuffer(reg, regno, off, isReadOnly ? 'rdonly' : 'rdwr', size)
      return unknownReg()
    }
    case 'arena':
      return unknownReg()
  }
  return deny(`R${regno} invalid mem access '${regName(reg)}'`)
}

/** Buffers whose size only the attach target knows: the offset must be constant and not negative. */
export function checkBuffer(reg: Reg, regno: number, off: number, name: string, size?: number): void {
  if (off < 0) {
    deny(`R${regno} invalid ${name} buffer access: off=${off}, size=${size ?? 0}`)
  }
  if (!isConst(reg.value) || valueOf(reg.value) !== 0) {
    deny(`R${regno} invalid variable buffer offset: off=${off}, var_off=${tnumText(reg.value)}`)
  }
}

/** What map flags allow a program to do with values. */
export function checkMapFlags(map: MapFacts, off: number, size: number, write: boolean): void {
  if (write && (map.flags & MapFlag.RDONLY_PROG) !== 0) {
    deny(`write into map forbidden, value_size=${map.valueSize} off=${off} size=${size}`)
  }
  if (!write && (map.flags & MapFlag.WRONLY_PROG) !== 0) {
    deny(`read from map forbidden, value_size=${map.valueSize} off=${off} size=${size}`)
  }
}

/** A region of a map's value, which must keep clear of its special fields; the kernel pointer field that it is, or null. */
export function checkMapValue(
  reg: Reg,
  regno: number,
  off: number,
  size: number,
  zeroAllowed: boolean,
  direct: boolean,
): SpecialField | null {
  const map = reg.map as MapFacts
  checkRegion(reg, regno, off, size, map.valueSize, zeroAllowed)
  const min = sminOf(reg.value) + off
  const max = umaxOf(reg.value) + off + size
  for (const field of map.fields) {
    if (min >= field.offset + field.size || field.offset >= max) continue
    if (field.kind !== 'kptr' && field.kind !== 'uptr') {
      deny(`${field.kind} cannot be accessed directly by load/store`)
    }
    if (!direct) deny('kptr cannot be accessed indirectly by helper')
    if (!isConst(reg.value)) deny('kptr access cannot have variable offset')
    if (off + valueOf(reg.value) !== field.offset) {
      deny(`kptr access misaligned expected=${field.offset} off=${off + valueOf(reg.value)}`)
    }
    if (size !== 8) deny('kptr access size must be BPF_DW')
    return field
  }
  return null
}

function accessMapValue(walk: Walk, reg: Reg, a: Access, off: number): Reg {
  const map = reg.map as MapFacts
  checkMapFlags(map, off, a.size, a.write)
  const field = checkMapValue(reg, a.regno, off, a.size, false, true)
  if (field !== null) return accessKptr(walk, field, a, reg)
  if (a.write) return reg
  const constants = map.constant
  if (constants !== null && isConst(reg.value) && map.type === MapType.ARRAY) {
    const at = off + valueOf(reg.value)
    let value = 0n
    for (let i = a.size - 1; i >= 0; i--) value = (value << 8n) | BigInt(constants[at + i] ?? 0)
    if (a.signed) value = BigInt.asIntN(a.size * 8, value)
    return scalarReg(constant64(value))
  }
  return unknownReg()
}
