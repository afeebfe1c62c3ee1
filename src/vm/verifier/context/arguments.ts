import { BtfKind, type Btf, type BtfParam } from '../../../btf/index.ts'
import { AttachType, ProgType } from '../../../uapi/index.ts'
import { deny, unsupported } from '../reject.ts'
import { tracepointArgument } from '../facts/tracepoints.ts'
import { Flag, pointerReg, type Reg, unknownReg } from '../state/register.ts'
import type { Walk } from '../walk.ts'

const TYPES: ReadonlySet<number> = new Set([ProgType.TRACING, ProgType.LSM, ProgType.STRUCT_OPS, ProgType.EXT])

/** Whether the context is an array of the arguments of a kernel function, described by BTF. */
export function hasArguments(type: number): boolean {
  return TYPES.has(type)
}

interface Signature {
  readonly params: readonly BtfParam[]
  readonly name: string
}

/** Function whose arguments a tracing program gets; null when this verifier does not know. */
export function targetSignature(walk: Walk): Signature | null {
  const { kernelBtf, attachTarget, attachType, type } = walk.facts
  if (kernelBtf === null || attachTarget === null || type !== ProgType.TRACING) return null
  if (attachType === AttachType.TRACE_ITER) {
    const name = `bpf_iter_${attachTarget}`
    const id = kernelBtf.findByName(name, BtfKind.FUNC)
    return id === undefined ? null : prototype(kernelBtf, id, name, 0)
  }
  if (attachType === AttachType.TRACE_RAW_TP) {
    const name = `btf_trace_${attachTarget}`
    const id = kernelBtf.findByName(name, BtfKind.TYPEDEF)
    return id === undefined ? null : prototype(kernelBtf, id, name, 1)
  }
  return null
}

function prototype(btf: Btf, id: number, name: string, skip: number): Signature | null {
  let type = btf.type(id)
  while (type.kind === BtfKind.TYPEDEF || type.kind === BtfKind.PTR || type.kind === BtfKind.FUNC) {
    type = btf.type(type.type)
  }
  return type.kind === BtfKind.FUNC_PROTO ? { params: type.params.slice(skip), name } : null
}

/** A load of an argument. */
export function accessArguments(walk: Walk, off: number, size: number, write: boolean): Reg {
  const signature = targetSignature(walk)
  if (signature === null) unsupported('the arguments of this attach target')
  if (write || off < 0 || off >= 96 || off % size !== 0) deny(`invalid bpf_context access off=${off} size=${size}`)
  if (off % 8 !== 0) deny(`func '${signature.name}' offset ${off} is not multiple of 8`)
  const index = off / 8
  const param = signature.params[index]
  if (param === undefined) deny(`func '${signature.name}' doesn't have ${index + 1}-th argument`)
  const btf = walk.facts.kernelBtf as Btf
  const type = btf.type(btf.skipModifiersAndTypedefs(param.type))
  if (type.kind !== BtfKind.PTR) return unknownReg()
  if (size !== 8) deny(`func '${signature.name}' size ${size} must be 8`)
  return argumentPointer(walk, btf, type.type, signature.name, index)
}

function argumentPointer(walk: Walk, btf: Btf, target: number, name: string, index: number): Reg {
  const buffer = BUFFERS[name]?.[index]
  if (buffer !== undefined) {
    const reg = pointerReg('buf', buffer)
    reg.id = walk.newId()
    return reg
  }
  const id = btf.skipModifiersAndTypedefs(target)
  const type = btf.type(id)
  if (type.kind !== BtfKind.STRUCT) {
    // Pointers to numbers and void are numbers to the program.
    if (type.kind === BtfKind.UNION || type.kind === BtfKind.FWD) unsupported(`argument ${index} of ${name}`)
    return unknownReg()
  }
  if (walk.facts.attachType === AttachType.TRACE_ITER) return iterArgument(walk, id, name, index)
  const may = tracepointArgument(name.replace(/^btf_trace_/, ''), index)
  if (may.error) return unknownReg()
  const reg = pointerReg('ptr_', Flag.TRUSTED | tagFlags(btf, target) | (may.null ? Flag.MAYBE_NULL : 0))
  if (may.null) reg.id = walk.newId()
  reg.btfId = id
  return reg
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
/** Iterators whose object is an ordinary, not a trusted pointer. */
const NOT_TRUSTED: ReadonlySet<string> = new Set(['bpf_iter_netlink', 'bpf_iter_ipv6_route', 'bpf_iter_ksym'])

/** The first argument of an iterator is its metadata, the others are null at the end of the walk. */
function iterArgument(walk: Walk, id: number, name: string, index: number): Reg {
  const isMeta = index === 0
  const trusted = NOT_TRUSTED.has(name) && !isMeta ? 0 : Flag.TRUSTED
  const isMap =
    name === 'bpf_iter_bpf_map_elem' || name === 'bpf_iter_bpf_sk_storage_map' || name === 'bpf_iter_sockmap'
  const plain = isMeta || (isMap && index === 1)
  const reg = pointerReg('ptr_', plain ? Flag.TRUSTED : trusted | Flag.MAYBE_NULL)
  if (reg.mayBeNull) reg.id = walk.newId()
  reg.btfId = id
  return reg
}
