import { BtfKind, type Btf, type BtfType } from '../../../btf/index.ts'
import { AttachType as A, ProgType, tracepointArgument } from '../../../uapi/index.ts'
import { returnsOf } from '../calls/return-range.ts'
import { Bounds } from '../domain/bounds.ts'

import { isContext, kindWord } from '../program/signature.ts'
import type { AttachTarget } from '../program/target.ts'
import { deny, unsupported } from '../reject.ts'
import { Flag, pointerReg, type Reg, scalarReg, unknownReg } from '../state/register.ts'
import type { Walk } from '../walk.ts'
import { kernelContext } from './kernel-types.ts'

const TYPES: ReadonlySet<number> = new Set([ProgType.TRACING, ProgType.LSM, ProgType.STRUCT_OPS])
/** Arguments of a function whose signature is not known. */
const UNKNOWN_ARGUMENTS = 5
const WORDS = 12

/** Whether the context is an array of the arguments of a function, described by BTF. */
export function hasArguments(type: number): boolean {
  return TYPES.has(type)
}

/** A load of an argument, or of what the function returned. */
export function accessArguments(walk: Walk, off: number, size: number, write: boolean): Reg {
  const { target } = walk.facts
  if (target === null) return unsupported('the arguments of this attach target')
  const refuse = (why: string | null): never => {
    const words = `invalid bpf_context access off=${off} size=${size}`
    return deny(why === null ? words : `${why}\n${words}`)
  }
  if (write || off < 0 || off >= WORDS * 8 || off % size !== 0) refuse(null)
  const { name, btf, proto, skip } = target
  if (off % 8 !== 0) refuse(`func '${name}' offset ${off} is not multiple of 8`)
  const count = proto === null ? UNKNOWN_ARGUMENTS : proto.params.length - skip
  const index = argumentAt(target, off)
  if (index > count) refuse(`func '${name}' doesn't have ${index + 1}-th argument`)
  const isReturn = index === count
  if (isReturn && !seesReturn(walk.facts.attachType)) refuse(`func '${name}' doesn't have ${index + 1}-th argument`)
  if (proto === null) return isReturn && walk.facts.attachType === A.MODIFY_RETURN ? refuse(null) : unknownReg()
  const param = isReturn ? undefined : proto.params[index + skip]
  const type = btf.type(btf.skipModifiersAndTypedefs(param?.type ?? proto.returnType))
  if (isReturn && walk.facts.attachType === A.MODIFY_RETURN && !(type.kind === BtfKind.INT && type.size <= 8)) {
    refuse(`ret type ${kindWord(type)} not allowed for fmod_ret`)
  }
  if (NUMBERS.has(type.kind)) return isReturn && walk.facts.attachType === A.LSM_MAC ? returned(walk) : unknownReg()
  if (type.kind !== BtfKind.PTR) {
    return refuse(
      `func '${name}' arg${index} '${type.name}' has type ${kindWord(type)}. Only pointer access is allowed`,
    )
  }
  if (size !== 8) refuse(`func '${name}' size ${size} must be 8`)
  const to = pointerArgument(walk, target, type.type, index, param?.name ?? '')
  return to ?? refuse(null)
}

/** Kinds that are numbers to the program. */
const NUMBERS: ReadonlySet<BtfKind> = new Set([
  BtfKind.INT,
  BtfKind.ENUM,
  BtfKind.ENUM64,
  BtfKind.STRUCT,
  BtfKind.UNION,
])

/** Which argument lies at an offset: structures passed by value take as many words as they need. */
function argumentAt(target: AttachTarget, off: number): number {
  const { btf, proto, skip } = target
  if (proto === null) return off >> 3
  let end = 0
  const params = proto.params.slice(skip)
  for (let i = 0; i < params.length; i++) {
    const id = btf.skipModifiersAndTypedefs(params[i]?.type ?? 0)
    end += btf.kind(id) === BtfKind.PTR ? 8 : Math.ceil(btf.sizeOf(id) / 8) * 8
    if (off < end) return i
  }
  return off < end + 8 ? params.length : params.length + 1
}

const SEE_RETURN: ReadonlySet<number> = new Set<number>([A.LSM_MAC, A.LSM_CGROUP, A.TRACE_FEXIT, A.MODIFY_RETURN])

function seesReturn(attachType: number): boolean {
  return SEE_RETURN.has(attachType)
}

/** What other hooks returned so far: an error, or whatever the hook returns. */
function returned(walk: Walk): Reg {
  const range = returnsOf(walk.facts)
  if (range === null) return unknownReg()
  const value = new Bounds()
  value.s32min = range[0]
  value.s32max = range[1]
  value.sminL = range[0]
  value.sminH = range[0] < 0 ? -1 : 0
  value.smaxL = range[1]
  value.smaxH = range[1] < 0 ? -1 : 0
  return scalarReg(value.sync())
}

/** The kernel says for each load which structure the argument points to. */
function sayArgument(walk: Walk, name: string, index: number, id: number, type: BtfType): void {
  if (walk.trace === null) return
  walk.say(`func '${name}' arg${index} has btf_id ${id} type ${kindWord(type)} '${type.name}'`)
}

function pointerArgument(walk: Walk, target: AttachTarget, pointed: number, index: number, param: string): Reg | null {
  const { btf, name, structOps } = target
  const buffer = BUFFERS[name]?.[index]
  if (buffer !== undefined) {
    const reg = pointerReg('buf', buffer)
    reg.id = walk.newId()
    return reg
  }
  const cast = structOps?.row.casts?.find((c) => c.member === structOps.member && c.index === index)
  if (cast !== undefined) return structPointer(walk, Flag.TRUSTED, structNamed(btf, cast.struct))
  const id = btf.skipModifiersAndTypedefs(pointed)
  const type = btf.type(id)
  // Pointers to numbers, to void and to unknown structures are numbers to the program.
  if (type.kind !== BtfKind.STRUCT && type.kind !== BtfKind.UNION) return unknownReg()
  if (
    walk.facts.attachType === A.TRACE_ITER &&
    target.programType === null &&
    target.hook === null &&
    structOps === null
  ) {
    return iterArgument(walk, id, name, index, type)
  }
  let flags = target.trusted ? Flag.TRUSTED : 0
  if (param.endsWith('__nullable') || target.nullable.has(index)) flags |= Flag.MAYBE_NULL
  if (target.skip === 1) {
    const may = tracepointArgument(name, index)
    if (may.error) return unknownReg()
    if (may.null) flags |= Flag.MAYBE_NULL
  }
  if (target.programType !== null) {
    if (!isContext(target.programType, btf, pointed)) return null
    return structPointer(walk, flags, kernelContext(walk, target.programType))
  }
  if (target.refs.has(index)) return referenced(walk, flags, id, index)
  const promoted = structOps?.row.promotes
  const isPromoted = promoted !== undefined && type.name === promoted.from
  sayArgument(walk, name, index, id, type)
  return structPointer(walk, flags | tagFlags(btf, pointed), isPromoted ? structNamed(btf, promoted.to) : id)
}

function structPointer(walk: Walk, flags: number, btfId: number): Reg {
  const reg = pointerReg('ptr_', flags)
  reg.btfId = btfId
  if (reg.mayBeNull) reg.id = walk.newId()
  return reg
}

/** The argument comes with a reference, which the program may have given away. */
function referenced(walk: Walk, flags: number, btfId: number, index: number): Reg | null {
  const refId = walk.argumentRefs.get(index) ?? 0
  if (!walk.state.refs.some((ref) => ref.kind === 'ptr' && ref.id === refId)) {
    deny(`invalid bpf_context access off=${index * 8}. Reference may already be released`)
  }
  const reg = structPointer(walk, flags, btfId)
  reg.refId = refId
  return reg
}

function structNamed(btf: Btf, name: string): number {
  return btf.findByName(name, BtfKind.STRUCT) ?? unsupported(`struct ${name} without kernel BTF`)
}

/** Address spaces that a pointer's target is tagged with. */
function tagFlags(btf: Btf, target: number): number {
  const type = btf.type(target)
  if (type.kind !== BtfKind.TYPE_TAG) return 0
  return type.name === 'user' ? Flag.USER : type.name === 'percpu' ? Flag.PERCPU : 0
}

/** Arguments of iterators that are buffers of the map's size rather than structures: key and value. */
const BUFFERS: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  bpf_iter_bpf_map_elem: { 2: Flag.RDONLY | Flag.MAYBE_NULL, 3: Flag.MAYBE_NULL },
  bpf_iter_bpf_sk_storage_map: { 3: Flag.MAYBE_NULL },
  bpf_iter_sockmap: { 2: Flag.RDONLY | Flag.MAYBE_NULL },
}
/** Iterators whose object is a trusted pointer; that of the others is an ordinary one. */
const TRUSTED: ReadonlySet<string> = new Set([
  'bpf_iter_task',
  'bpf_iter_cgroup',
  'bpf_iter_bpf_map',
  'bpf_iter_tcp',
  'bpf_iter_udp',
  'bpf_iter_kmem_cache',
])

/** The first argument of an iterator is its metadata, the others are null at the end of the walk. */
function iterArgument(walk: Walk, id: number, name: string, index: number, type: BtfType): Reg {
  const isMeta = index === 0
  const trusted = TRUSTED.has(name) ? Flag.TRUSTED : 0
  const isMap =
    name === 'bpf_iter_bpf_map_elem' || name === 'bpf_iter_bpf_sk_storage_map' || name === 'bpf_iter_sockmap'
  const plain = isMeta || (isMap && index === 1)
  if (plain) sayArgument(walk, name, index, id, type)
  return structPointer(walk, plain ? Flag.TRUSTED : trusted | Flag.MAYBE_NULL, id)
}
