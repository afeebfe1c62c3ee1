import { BtfKind, type Btf } from '../../../btf/index.ts'
import { type HelperArg, HelperId as H, MapFlag, MapType } from '../../../uapi/index.ts'
import { checkArgumentOffset, checkUnmodified, mayWritePacket } from '../context/access.ts'
import { isConst, isZero, umaxOf, valueOf } from '../domain/bounds.ts'
import type { MapFacts } from '../facts/maps.ts'
import type { SpecialField } from '../facts/fields.ts'
import { checkAlignment } from '../memory/access.ts'
import { matchKptr, xchgField } from '../memory/kptr.ts'
import { markPrecise, markSlotPrecise } from '../precision.ts'
import { keepSecret } from '../privilege.ts'
import { deny, invalid, Reject, unsupported } from '../reject.ts'
import { Flag, isPacketPointer, isSocketKind, kindName, type Reg, regName } from '../state/register.ts'
import { Byte } from '../state/slot.ts'
import type { Walk } from '../walk.ts'
import { checkReleasable, initializedDynptr, newDynptr } from './dynptr.ts'
import { checkMapField } from './map-field.ts'
import { checkMemory, checkSize } from './memory-argument.ts'

/** What the arguments of one call have told. */
export interface CallFacts {
  map: MapFacts | null
  mapUid: number
  /** Reference of an argument that has one. */
  refId: number
  /** Argument that is released. */
  releases: number
  memSize: number
  /** Stack to simulate writes to. */
  fillRegno: number
  fillSize: number
  callback: number
  constKey: number
  maxSize: number
  helper: number
  name: string
  helperPacketAccess: boolean
  raw: boolean
  retBtfId: number
  /** The per-CPU argument is an object of the program's own. */
  retObject: boolean
  /** Initialised dynptr among the arguments. */
  dynptr: Reg | null
  /** Field that bpf_kptr_xchg exchanges. */
  field: SpecialField | null
}

export function noFacts(helper: number, name: string, packetAccess: boolean): CallFacts {
  return {
    map: null,
    mapUid: 0,
    refId: 0,
    releases: 0,
    memSize: 0,
    fillRegno: 0,
    fillSize: 0,
    callback: -1,
    constKey: -1,
    maxSize: 0,
    helper,
    name,
    helperPacketAccess: packetAccess,
    raw: false,
    retBtfId: 0,
    retObject: false,
    dynptr: null,
    field: null,
  }
}

const MEM = ['fp', 'pkt', 'pkt_meta', 'map_key', 'map_value', 'mem', 'ringbuf_mem', 'buf', 'trusted_ptr_']
const SOCKETS = ['sock_common', 'sock', 'tcp_sock', 'xdp_sock']
/** Register kinds that an argument type takes, in the order in which the kernel lists them. */
const TAKES: Readonly<Record<string, readonly string[]>> = {
  PTR_TO_MAP_KEY: MEM,
  PTR_TO_MAP_VALUE: MEM,
  PTR_TO_MEM: MEM,
  CONST_SIZE: ['scalar'],
  CONST_SIZE_OR_ZERO: ['scalar'],
  CONST_ALLOC_SIZE_OR_ZERO: ['scalar'],
  SCALAR: ['scalar'],
  CONST_MAP_PTR: ['map_ptr'],
  PTR_TO_CTX: ['ctx'],
  PTR_TO_SOCK_COMMON: SOCKETS,
  PTR_TO_SOCKET: ['sock'],
  PTR_TO_BTF_ID: ['ptr_', 'trusted_ptr_', 'rcu_ptr_'],
  PTR_TO_SPIN_LOCK: ['map_value', 'alloc ptr_'],
  PTR_TO_RINGBUF_MEM: ['ringbuf_mem'],
  PTR_TO_PERCPU_BTF_ID: ['percpu_ptr_', 'percpu_rcu_ptr_', 'percpu_trusted_ptr_'],
  PTR_TO_BTF_ID_SOCK_COMMON: [...SOCKETS, 'ptr_', 'trusted_ptr_'],
  PTR_TO_FUNC: ['func'],
  PTR_TO_STACK: ['fp'],
  PTR_TO_CONST_STR: ['map_value'],
  PTR_TO_TIMER: ['map_value'],
  PTR_TO_DYNPTR: ['fp', 'dynptr_ptr'],
  KPTR_XCHG_DEST: ['map_value', 'alloc ptr_'],
}

/** A kind of pointer with the modifiers that the kernel does not print in front. */
function takenAs(kind: Reg['kind'], flags: number): string {
  const alloc = flags & Flag.ALLOC ? 'alloc ' : ''
  const nonOwning = flags & Flag.NON_OWN_REF ? 'non-owning ' : ''
  return alloc + nonOwning + kindName(kind, flags)
}

function has(arg: HelperArg, flag: string): boolean {
  return (arg.flags as readonly string[]).includes(flag)
}

/** Values of these maps are sockets. */
function holdsSockets(map: MapFacts | null): boolean {
  return map?.type === MapType.SOCKMAP || map?.type === MapType.SOCKHASH
}

/** Checks the kind of an argument register against what the helper takes. */
function checkKind(walk: Walk, reg: Reg, regno: number, arg: HelperArg, facts: CallFacts): void {
  const type = arg.type === 'PTR_TO_MAP_VALUE' && holdsSockets(facts.map) ? 'PTR_TO_BTF_ID_SOCK_COMMON' : arg.type
  const takes = TAKES[type] ?? unsupported(`helper arguments of type ${type}`)
  let flags = reg.flags
  if (has(arg, 'MEM_RDONLY')) flags &= ~Flag.RDONLY
  if (has(arg, 'MAYBE_NULL')) flags &= ~Flag.MAYBE_NULL
  flags &= ~(Flag.DYNPTR_LOCAL | Flag.DYNPTR_RINGBUF)
  // The program's own objects may be put into memory.
  const isMoved = facts.helper === H.kptr_xchg && regno === 2
  if (isMoved && flags & Flag.ALLOC) flags &= ~(Flag.ALLOC | Flag.PERCPU)
  if (!takes.includes(takenAs(reg.kind, flags))) {
    const expected = takes.map((name) => name.replace(/^alloc (non-owning )?/, '')).join(', ')
    deny(`R${regno} type=${regName(reg)} expected=${expected}`)
  }
  if (reg.kind !== 'ptr_' || arg.type === 'PTR_TO_SPIN_LOCK' || arg.type === 'PTR_TO_PERCPU_BTF_ID') return
  if (type === 'PTR_TO_MEM' || type.startsWith('PTR_TO_MAP')) {
    if (!has(arg, 'MEM_RDONLY')) {
      deny(`${facts.name}() may write into memory pointed by R${regno} type=${regName(reg)}`)
    }
    return
  }
  if (reg.mayBeNull && (!has(arg, 'MAYBE_NULL') || has(arg, 'OBJ_RELEASE'))) {
    if (reg.flags & Flag.ALLOC) {
      throw new Reject('EFAULT', 'verifier bug: invalid PTR_TO_BTF_ID register for type match')
    }
    deny(`Possibly NULL pointer passed to helper arg${regno}`)
  }
  if (isMoved && facts.field !== null) return matchKptr(walk, facts.field, reg, regno)
  if (arg.type !== 'KPTR_XCHG_DEST') checkBtfType(walk, reg, regno, { ...arg, type })
}

function checkBtfType(walk: Walk, reg: Reg, regno: number, arg: HelperArg): void {
  const { kernelBtf } = walk.facts
  if (arg.btf === undefined) {
    if (arg.type === 'PTR_TO_BTF_ID_SOCK_COMMON') return checkStruct(walk, reg, regno, 'sock_common')
    return
  }
  if (kernelBtf === null || reg.btf !== 'kernel') unsupported('BTF pointers of programs as helper arguments')
  checkStruct(walk, reg, regno, arg.btf)
}

function checkStruct(walk: Walk, reg: Reg, regno: number, wanted: string): void {
  const btf = walk.facts.kernelBtf as Btf
  const target = btf.findByName(wanted, BtfKind.STRUCT)
  if (target === undefined) unsupported(`struct ${wanted} without kernel BTF`)
  checkUnmodified(reg, regno, true)
  if (!structsMatch(btf, reg.btfId, reg.off, target)) {
    deny(`R${regno} is of type ${btf.name(reg.btfId)} but ${wanted} is expected`)
  }
}

/** Whether there is a structure of type `target` at an offset in one of type `id`. */
export function structsMatch(btf: Btf, id: number, off: number, target: number): boolean {
  let at = off
  let current = btf.skipModifiersAndTypedefs(id)
  for (let depth = 0; depth < 16; depth++) {
    if (at === 0 && (current === target || btf.name(current) === btf.name(target))) return true
    const type = btf.type(current)
    if (type.kind !== BtfKind.STRUCT && type.kind !== BtfKind.UNION) return false
    const member = type.members.find((m) => {
      const start = m.bitOffset >> 3
      return at >= start && at < start + btf.sizeOf(m.type) && m.bitSize === 0
    })
    if (member === undefined) return false
    at -= member.bitOffset >> 3
    current = btf.skipModifiersAndTypedefs(member.type)
    if (btf.kind(current) === BtfKind.ARRAY) return false
  }
  return false
}

/** Checks one argument of a helper call and takes down what it tells. */
export function checkArgument(walk: Walk, index: number, args: readonly HelperArg[], facts: CallFacts): void {
  const arg = args[index] as HelperArg
  const regno = index + 1
  const reg = walk.reg(regno)
  if (reg.kind === '?') deny(`R${regno} !read_ok`)
  if (arg.type === 'ANYTHING') return keepSecret(walk, regno, reg, 'leaks addr into helper function')
  if (isPacketPointer(reg.kind) && !(facts.helperPacketAccess && mayUsePacket(walk))) {
    deny('helper access to the packet is not allowed')
  }
  const isNull = reg.kind === 'scalar' && isConst(reg.value) && isZero(reg.value)
  if (arg.type === 'PTR_TO_MAP_VALUE' && arg.flags.length > 0 && holdsSockets(facts.map)) {
    invalid('invalid arg_type for sockmap/sockhash')
  }
  if (!(isNull && has(arg, 'MAYBE_NULL'))) {
    checkKind(walk, reg, regno, arg, facts)
    const isDynptr = arg.type === 'PTR_TO_DYNPTR' && reg.kind === 'fp'
    checkArgumentOffset(reg, regno, has(arg, 'OBJ_RELEASE') && !isDynptr)
  }
  if (has(arg, 'OBJ_RELEASE') && arg.type === 'PTR_TO_DYNPTR') {
    checkReleasable(walk, regno)
    facts.releases = regno
  } else if (has(arg, 'OBJ_RELEASE')) {
    if (reg.refId === 0 && !isNull) invalid(`R${regno} must be referenced when passed to release function`)
    facts.releases = regno
  }
  if (reg.refId !== 0) facts.refId = reg.refId
  checkValue(walk, index, args, reg, facts, isNull)
}

function mayUsePacket(walk: Walk): boolean {
  return mayWritePacket(walk.facts) || PACKET_READERS.has(walk.facts.type)
}

const PACKET_READERS: ReadonlySet<number> = new Set([10, 11, 19, 21, 22, 8])

function checkValue(
  walk: Walk,
  index: number,
  args: readonly HelperArg[],
  reg: Reg,
  facts: CallFacts,
  isNull: boolean,
): void {
  const arg = args[index] as HelperArg
  const regno = index + 1
  const fill = (simulate: boolean, size: number, at: number): void => {
    if (!simulate) return
    facts.fillRegno = at
    facts.fillSize = size
  }
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (arg.type) {
    case 'CONST_MAP_PTR':
      if (facts.map !== null) checkTimerMap(facts, reg)
      facts.map = reg.map
      facts.mapUid = reg.mapUid
      return
    case 'PTR_TO_MAP_KEY': {
      if (facts.map === null) return invalid('invalid map_ptr to access map->key')
      checkMemory(walk, regno, facts.map.keySize, false, false)
      facts.constKey = constantKey(walk, reg, facts.map)
      return
    }
    case 'PTR_TO_MAP_VALUE': {
      if (isNull && has(arg, 'MAYBE_NULL')) return
      if (facts.map === null) return invalid('invalid map_ptr to access map->value')
      if (isSocketKind(reg.kind) || (reg.kind === 'ptr_' && facts.map.type >= MapType.SOCKMAP)) return
      // A bloom filter is asked about a value instead of giving one.
      const asked = facts.map.type === MapType.BLOOM_FILTER && facts.helper === H.map_peek_elem
      const raw = has(arg, 'MEM_UNINIT') && !asked
      const write = has(arg, 'MEM_WRITE') && !asked
      const simulate = checkMemory(walk, regno, facts.map.valueSize, false, write, raw)
      return fill(simulate, facts.map.valueSize, regno)
    }
    case 'PTR_TO_MEM': {
      facts.raw = has(arg, 'MEM_UNINIT')
      if (!has(arg, 'MEM_FIXED_SIZE')) return
      if (isNull && has(arg, 'MAYBE_NULL')) return
      const size = arg.size ?? 0
      fill(checkMemory(walk, regno, size, false, has(arg, 'MEM_WRITE'), facts.raw), size, regno)
      if (has(arg, 'MEM_ALIGNED')) checkAlignment(walk, reg, 0, size, true)
      return
    }
    case 'CONST_SIZE':
    case 'CONST_SIZE_OR_ZERO': {
      const memory = args[index - 1] as HelperArg
      const zero = arg.type === 'CONST_SIZE_OR_ZERO'
      facts.maxSize = Math.max(facts.maxSize, umaxOf(reg.value))
      const simulate = checkSize(walk, regno, zero, has(memory, 'MEM_WRITE'), has(memory, 'MEM_UNINIT'))
      return fill(simulate, umaxOf(reg.value), regno - 1)
    }
    case 'CONST_ALLOC_SIZE_OR_ZERO':
      if (!isConst(reg.value)) deny(`R${regno} is not a known constant'`)
      facts.memSize = valueOf(reg.value)
      markPrecise(walk, regno)
      return
    case 'PTR_TO_FUNC':
      facts.callback = reg.subprog
      return
    case 'PTR_TO_STACK':
    case 'PTR_TO_CTX':
    case 'PTR_TO_SOCK_COMMON':
    case 'PTR_TO_SOCKET':
    case 'PTR_TO_BTF_ID':
    case 'PTR_TO_BTF_ID_SOCK_COMMON':
    case 'PTR_TO_RINGBUF_MEM':
    case 'SCALAR':
    case 'PTR_TO_SPIN_LOCK':
      return
    case 'PTR_TO_PERCPU_BTF_ID':
      if (reg.btfId === 0) deny(`Helper has invalid btf_id in R${regno}`)
      facts.retBtfId = reg.btfId
      facts.retObject = (reg.flags & Flag.RCU) !== 0 && reg.btf === 'program'
      return
    case 'PTR_TO_DYNPTR': {
      const type = has(arg, 'DYNPTR_TYPE_LOCAL') ? 'local' : has(arg, 'DYNPTR_TYPE_RINGBUF') ? 'ringbuf' : null
      if (!has(arg, 'MEM_UNINIT')) facts.dynptr = initializedDynptr(walk, regno, type, has(arg, 'MEM_RDONLY'))
      else if (type === null) unsupported('dynptrs of this type')
      else newDynptr(walk, regno, type)
      return
    }
    case 'KPTR_XCHG_DEST':
      facts.map = reg.map
      facts.field = xchgField(walk, reg, regno)
      return
    case 'PTR_TO_TIMER':
      checkMapField(reg, regno, 'bpf_timer')
      facts.map = reg.map
      facts.mapUid = reg.mapUid
      return
    case 'PTR_TO_CONST_STR':
      return checkString(reg, regno)
    default:
      return unsupported(`helper arguments of type ${arg.type}`)
  }
}

/** A timer belongs to the map whose value it is in; inner maps of different lookups are different maps. */
function checkTimerMap(facts: CallFacts, reg: Reg): void {
  if (facts.map === reg.map && facts.mapUid === reg.mapUid) return
  invalid(`timer pointer in R1 map_uid=${facts.mapUid} doesn't match map pointer in R2 map_uid=${reg.mapUid}`)
}

/** A constant string lies in a read-only map and ends inside of it. */
export function checkString(reg: Reg, regno: number): void {
  const { map } = reg
  if (map === null || (map.flags & 128) === 0) deny(`R${regno} does not point to a readonly map'`)
  if (!isConst(reg.value)) deny(`R${regno} is not a constant address'`)
  if (map.constant === null) unsupported('strings in maps without contents')
  const at = reg.off + valueOf(reg.value)
  if (at < 0 || at >= map.valueSize || !map.constant.subarray(at).includes(0)) invalid('string is not zero-terminated')
}

/** Value of a 4- or 8-byte map key on the stack when it is known, otherwise -1. */
function constantKey(walk: Walk, reg: Reg, map: MapFacts): number {
  if (map.type !== MapType.ARRAY && map.type !== MapType.PERCPU_ARRAY) return -1
  // The map that is there when the program runs may be smaller.
  if ((map.flags & MapFlag.INNER_MAP) !== 0) return -1
  if (reg.kind !== 'fp' || !isConst(reg.value)) return -1
  const at = -(reg.off + valueOf(reg.value)) - 1
  const index = at >> 3
  const frame = walk.state.frames[reg.frame]
  const slot = frame?.stack[index]
  if (frame === undefined || slot === undefined) return -1
  let zeros = 0
  for (let i = at & 7; i >= 0 && slot.byte(i) === Byte.ZERO; i--) zeros++
  if (zeros >= map.keySize) return 0
  if (!slot.spilled || slot.reg?.kind !== 'scalar') return -1
  let spilled = 0
  for (let i = at & 7; i >= 0 && slot.byte(i) === Byte.SPILL; i--) spilled++
  if (spilled !== map.keySize || !isConst(slot.reg.value)) return -1
  markSlotPrecise(walk, frame.index, index)
  const value = valueOf(slot.reg.value)
  return value >= 0 ? value : -1
}
