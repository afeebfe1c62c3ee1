import { BtfKind, type Btf, type BtfFuncProto, type BtfParam } from '../../../btf/index.ts'
import { contextStruct } from '../../../uapi/index.ts'
import { checkUnmodified, mayWritePacket } from '../context/access.ts'
import { isConst, isZero, valueOf } from '../domain/bounds.ts'
import { KFUNCS, type KfuncFlag, type KfuncRow } from '../facts/kfuncs.ts'
import { markPrecise } from '../precision.ts'
import { deny, invalid, unsupported } from '../reject.ts'
import { Flag, NOT_INIT, pointerReg, type Reg, regName, unknownReg } from '../state/register.ts'
import type { Walk } from '../walk.ts'
import { structsMatch } from './arguments.ts'
import { initializedDynptr, newDynptr, sliceOf } from './dynptr.ts'
import { destroyIterator, forkNext, initializedIterator, type IterPlace, newIterator } from './iterator.ts'
import { checkMemory, checkSize } from './memory-argument.ts'
import { checkReturnValue } from './exit.ts'
import { acquire, checkNoResources, clobberCallerSaved, release } from './resources.ts'

/** A kernel function that is called, with what its arguments have told. */
interface Call {
  readonly name: string
  readonly row: KfuncRow
  readonly btf: Btf
  readonly proto: BtfFuncProto
  refId: number
  releases: number
  place: IterPlace | null
  dynptr: Reg | null
  /** Value of the constant argument. */
  size: number
}

function has(call: Call, flag: KfuncFlag): boolean {
  return call.row.flags.includes(flag)
}

/** A call of a kernel function, by its BTF and its flags. `exit` when it ends the program. */
export function stepKfuncCall(walk: Walk): 'next' | 'exit' {
  const kfunc = walk.facts.kfuncs.get(walk.insn)
  if (kfunc === undefined) return unsupported('this kernel function')
  const { name } = kfunc
  const row = KFUNCS[name]
  if (row === undefined) return unsupported(`the kernel function ${name}`)
  if (row.types !== null && !row.types.has(walk.facts.type)) deny(`calling kernel function ${name} is not allowed`)
  if (walk.state.locks > 0 && !name.startsWith('bpf_iter_num_')) {
    if (/list|rbtree|refcount|res_spin/.test(name)) unsupported('kernel functions under a lock')
    invalid('function calls are not allowed while holding a lock')
  }
  const btf = walk.facts.kernelBtf
  const func = btf === null || kfunc.btfId === 0 ? null : btf.type(kfunc.btfId)
  if (btf !== null && (name === 'bpf_cast_to_kern_ctx' || name === 'bpf_rdonly_cast')) return stepCast(walk, name, btf)
  const proto = func !== null && func.kind === BtfKind.FUNC ? (btf as Btf).type(func.type) : null
  if (btf === null || proto === null || proto.kind !== BtfKind.FUNC_PROTO) return unsupported(`${name} without BTF`)
  const call: Call = { name, row, btf, proto, refId: 0, releases: 0, place: null, dynptr: null, size: -1 }
  proto.params.forEach((param, i) => checkParameter(walk, call, param, i))
  if (has(call, 'release') && call.releases === 0) {
    invalid(`release kernel function ${name} expects refcounted PTR_TO_BTF_ID`)
  }
  changeRegions(walk, name)
  if (call.releases > 0) release(walk, walk.reg(call.releases).refId)
  if (name === 'bpf_throw') return stepThrow(walk)
  clobberCallerSaved(walk)
  walk.set(0, result(walk, call))
  if (call.place !== null && has(call, 'iterNext')) forkNext(walk, call.place)
  if (call.place !== null && has(call, 'iterDestroy')) destroyIterator(walk, call.place)
  return 'next'
}

/** Kernel structures behind contexts. */
const KERNEL_CONTEXTS: Readonly<Record<string, string>> = {
  __sk_buff: 'sk_buff',
  xdp_md: 'xdp_buff',
  bpf_sock_ops: 'bpf_sock_ops_kern',
  bpf_sock_addr: 'bpf_sock_addr_kern',
  bpf_sockopt: 'bpf_sockopt_kern',
  bpf_sysctl: 'bpf_sysctl_kern',
  sk_msg_md: 'sk_msg',
  sk_reuseport_md: 'sk_reuseport_kern',
  bpf_sk_lookup: 'bpf_sk_lookup_kern',
  bpf_perf_event_data: 'bpf_perf_event_data_kern',
}

/** Views of a pointer as another kernel type. */
function stepCast(walk: Walk, name: string, btf: Btf): 'next' {
  const reg = walk.reg(1)
  if (reg.kind === '?') deny('R1 !read_ok')
  const to = pointerReg('ptr_')
  if (name === 'bpf_cast_to_kern_ctx') {
    if (reg.kind !== 'ctx') invalid(`arg#0 expected pointer to ctx, but got ${regName(reg)}`)
    checkUnmodified(reg, 1)
    const struct = KERNEL_CONTEXTS[contextStruct(walk.facts.type) ?? '']
    const id = struct === undefined ? undefined : btf.findByName(struct, BtfKind.STRUCT)
    if (id === undefined) return unsupported('the kernel type of this context')
    to.btfId = id
    to.flags = Flag.TRUSTED
  } else {
    const type = walk.reg(2)
    if (type.kind === '?') deny('R2 !read_ok')
    if (type.kind !== 'scalar') invalid('R2 is not a scalar')
    if (!isConst(type.value)) invalid('R2 must be a known constant')
    markPrecise(walk, 2)
    if (reg.kind === 'scalar' || reg.mayBeNull) unsupported('casts of numbers')
    const id = type.value.vl
    if (id <= 0 || id >= btf.typeCount || btf.kind(id) !== BtfKind.STRUCT) unsupported('casts to what is no structure')
    to.btfId = id
    to.flags = Flag.UNTRUSTED
  }
  clobberCallerSaved(walk)
  walk.set(0, to)
  return 'next'
}

/** RCU and preemption sections. */
function changeRegions(walk: Walk, name: string): void {
  const { state } = walk
  switch (name) {
    case 'bpf_rcu_read_lock':
      if (state.rcu > 0) unsupported('nested RCU sections')
      state.rcu++
      return
    case 'bpf_rcu_read_unlock':
      if (state.rcu === 0) invalid(`unmatched rcu read unlock (kernel function ${name})`)
      state.rcu--
      state.mapRegs((reg) => {
        if ((reg.flags & Flag.RCU) === 0) return reg
        const to = reg.clone()
        to.flags = (reg.flags & ~(Flag.RCU | Flag.MAYBE_NULL)) | Flag.UNTRUSTED
        return to
      })
      if (state.refs.length > 0) unsupported('iterators across the end of an RCU section')
      return
    case 'bpf_preempt_disable':
      state.preempt++
      return
    case 'bpf_preempt_enable':
      if (state.preempt === 0) invalid(`unmatched attempt to enable preemption (kernel function ${name})`)
      state.preempt--
      return
  }
}

function stepThrow(walk: Walk): 'exit' {
  if (walk.state.frames.some((frame) => frame.inCallback || frame.inAsync)) unsupported('exceptions in callbacks')
  checkReturnValue(walk, 1)
  checkNoResources(walk, 'bpf_throw')
  return 'exit'
}

function isNull(reg: Reg): boolean {
  return reg.kind === 'scalar' && isConst(reg.value) && isZero(reg.value)
}

function isTrusted(reg: Reg): boolean {
  const unsafe = Flag.UNTRUSTED | Flag.PERCPU | Flag.USER | Flag.MAYBE_NULL | Flag.RCU
  if (reg.refId !== 0) return true
  if (reg.kind === 'sock' || reg.kind === 'sock_common' || reg.kind === 'tcp_sock') return (reg.flags & unsafe) === 0
  return (reg.flags & Flag.TRUSTED) !== 0 && (reg.flags & unsafe) === 0
}

function checkParameter(walk: Walk, call: Call, param: BtfParam, index: number): void {
  const { btf } = call
  const regno = index + 1
  const reg = walk.reg(regno)
  if (param.name.endsWith('__ign')) return
  if (reg.kind === '?') deny(`R${regno} !read_ok`)
  const type = btf.type(btf.skipModifiersAndTypedefs(param.type))
  if (type.kind !== BtfKind.PTR) {
    if (reg.kind !== 'scalar') invalid(`R${regno} is not a scalar`)
    if (param.name.endsWith('__k') || param.name.endsWith('__szk')) {
      if (!isConst(reg.value)) invalid(`R${regno} must be a known constant`)
      markPrecise(walk, regno)
      call.size = valueOf(reg.value)
    }
    return
  }
  const pointed = btf.name(btf.skipModifiersAndTypedefs(type.type))
  if (pointed === 'bpf_dynptr' || pointed === 'bpf_dynptr_kern') return checkDynptr(walk, call, param, regno)
  if (param.name === 'buffer__opt' && isNull(reg)) return
  const trustedArgs = has(call, 'trusted') || has(call, 'release')
  const nullable = param.name.endsWith('__nullable')
  if ((trustedArgs || has(call, 'rcu')) && (isNull(reg) || reg.mayBeNull) && !nullable) {
    deny(`Possibly NULL pointer passed to trusted arg${index}`)
  }
  if (nullable) unsupported('nullable arguments of kernel functions')
  if (reg.refId !== 0) {
    call.refId = reg.refId
    if (has(call, 'release')) call.releases = regno
  }
  if (/__(map|alloc|uninit|refcounted_kptr|str|iter|irq_flag|const_map|prog)$/.test(param.name)) {
    unsupported(`arguments like ${param.name} of kernel functions`)
  }
  const targetId = btf.skipModifiersAndTypedefs(type.type)
  checkPointer(walk, call, reg, regno, targetId, trustedArgs)
}

function checkPointer(walk: Walk, call: Call, reg: Reg, regno: number, targetId: number, trusted: boolean): void {
  const { btf, name } = call
  const target = btf.type(targetId)
  const index = regno - 1
  const isIter = index === 0 && (has(call, 'iterNew') || has(call, 'iterNext') || has(call, 'iterDestroy'))
  if (isIter) return checkIterator(walk, call, reg, regno, targetId)
  if (target.name !== '' && target.name === contextStruct(walk.facts.type)) {
    if (reg.kind !== 'ctx') invalid(`arg#${index} expected pointer to ctx, but got ${reg.kind}`)
    return checkUnmodified(reg, regno)
  }
  if (reg.kind === 'ptr_') {
    if (reg.btf !== 'kernel' || reg.flags & (Flag.ALLOC | Flag.NON_OWN_REF)) unsupported('allocated objects')
    if (target.kind !== BtfKind.STRUCT) unsupported(`argument ${index} of ${name}`)
    if (trusted || has(call, 'rcu')) {
      if (!isTrusted(reg)) {
        if (!has(call, 'rcu')) invalid(`R${regno} must be referenced or trusted`)
        if ((reg.flags & Flag.RCU) === 0) invalid(`R${regno} must be a rcu pointer`)
      }
    }
    const releasing = has(call, 'release') && reg.refId !== 0
    if (releasing && reg.off !== 0) {
      invalid(`R${regno} must have zero offset when passed to release func or trusted arg to kfunc`)
    }
    checkUnmodified(reg, regno, true)
    // The function is declared with the context's name for the structure behind it.
    const isSkb = target.name === '__sk_buff' && reg.off === 0 && btf.name(reg.btfId) === 'sk_buff'
    const same = isSkb || (releasing ? reg.btfId === targetId : structsMatch(btf, reg.btfId, reg.off, targetId))
    if (!same) {
      invalid(
        `kernel function ${name} args#${index} expected pointer to STRUCT ${target.name} but R${regno} has a pointer to STRUCT ${btf.name(reg.btfId)}`,
      )
    }
    return
  }
  checkPlainMemory(walk, call, reg, regno, targetId)
}

function checkDynptr(walk: Walk, call: Call, param: BtfParam, regno: number): void {
  const { name } = call
  if (!param.name.endsWith('__uninit')) {
    const state = initializedDynptr(walk, regno, null)
    call.dynptr = state
    return
  }
  switch (name) {
    case 'bpf_dynptr_from_skb':
      return newDynptr(walk, regno, 'skb')
    case 'bpf_dynptr_from_xdp':
      return newDynptr(walk, regno, 'xdp')
    case 'bpf_dynptr_clone': {
      const source = call.dynptr
      if (source === null || source.dynptr === null) return unsupported('clones of this dynptr')
      return newDynptr(walk, regno, source.dynptr.type, source.refId)
    }
    default:
      return unsupported(`dynptrs made by ${name}`)
  }
}

/** Pointer to numbers, possibly with its size in the next argument. */
function checkPlainMemory(walk: Walk, call: Call, reg: Reg, regno: number, targetId: number): void {
  const { btf, proto } = call
  const index = regno - 1
  const next = proto.params[regno]
  if (next !== undefined && /__szk?$/.test(next.name)) {
    // Buffers that may be absent were handled before; the size is checked with the memory.
    checkSize(walk, regno + 1, true, false, false)
    checkSize(walk, regno + 1, true, true, false)
    return
  }
  const target = btf.type(targetId)
  const isNumber = target.kind === BtfKind.INT || target.kind === BtfKind.ENUM || target.kind === BtfKind.ENUM64
  if (!isNumber && !(target.kind === BtfKind.STRUCT && onlyNumbers(btf, targetId, 0))) {
    const word = target.kind === BtfKind.STRUCT ? 'STRUCT' : target.kind === BtfKind.UNION ? 'UNION' : 'UNKNOWN'
    invalid(`arg#${index} pointer type ${word} ${target.name} must point to scalar, or struct with scalar`)
  }
  const size = btf.sizeOf(targetId)
  if (reg.mayBeNull || isNull(reg)) unsupported('null arguments of kernel functions')
  checkMemory(walk, regno, size, false, false)
  checkMemory(walk, regno, size, false, true)
}

/** A structure of numbers, arrays of numbers and such structures. */
function onlyNumbers(btf: Btf, id: number, depth: number): boolean {
  const type = btf.type(btf.skipModifiersAndTypedefs(id))
  if (depth > 4) return false
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (type.kind) {
    case BtfKind.INT:
    case BtfKind.ENUM:
    case BtfKind.ENUM64:
      return true
    case BtfKind.ARRAY:
      return onlyNumbers(btf, type.elementType, depth + 1)
    case BtfKind.STRUCT:
      return type.members.every((m) => onlyNumbers(btf, m.type, depth + 1))
    default:
      return false
  }
}

function checkIterator(walk: Walk, call: Call, reg: Reg, regno: number, targetId: number): void {
  if (reg.kind !== 'fp') invalid(`arg#${regno - 1} expected pointer to an iterator on stack`)
  const slots = call.btf.sizeOf(targetId) / 8
  const type = call.btf.name(targetId).replace(/^bpf_iter_/, '')
  if (has(call, 'iterNew')) newIterator(walk, regno, type, slots, has(call, 'rcuProtected'))
  else {
    call.place = initializedIterator(walk, regno, type, slots, call.name)
    call.refId = walk.state.frames[call.place.frame]?.slot(call.place.slot).reg?.refId ?? 0
  }
}

function result(walk: Walk, call: Call): Reg {
  const { btf, proto } = call
  const type = btf.type(btf.skipModifiersAndTypedefs(proto.returnType))
  if (type.kind === BtfKind.VOID) return NOT_INIT
  if (type.kind !== BtfKind.PTR) return unknownReg()
  const targetId = btf.skipModifiersAndTypedefs(type.type)
  const target = btf.type(targetId)
  let to: Reg
  if (call.dynptr !== null && call.name.startsWith('bpf_dynptr_slice')) {
    if (call.size < 0) return unsupported('slices without a constant size')
    const isWritable = call.name === 'bpf_dynptr_slice_rdwr'
    if (isWritable && !mayWritePacket(walk.facts)) invalid('the prog does not allow writes to packet data')
    const flags = Flag.MAYBE_NULL | (isWritable ? 0 : Flag.RDONLY)
    const slice = sliceOf(walk, call.dynptr, call.size, flags)
    slice.refId = 0
    return slice
  }
  if (target.kind === BtfKind.VOID) return unknownReg()
  if (target.kind === BtfKind.STRUCT) {
    to = pointerReg('ptr_')
    to.btfId = targetId
    if (has(call, 'iterNext')) to.flags |= iterElementFlags(walk, call)
  } else {
    to = pointerReg('mem', Flag.RDONLY)
    to.memSize = btf.sizeOf(targetId)
    to.refId = call.refId
  }
  if (has(call, 'null')) {
    to.flags |= Flag.MAYBE_NULL
    to.id = walk.newId()
  }
  if (has(call, 'acquire')) {
    const id = acquire(walk)
    if (has(call, 'null')) to.id = id
    to.refId = id
  }
  return to
}

function iterElementFlags(walk: Walk, call: Call): number {
  const { place } = call
  const state = place === null ? null : walk.state.frames[place.frame]?.slot(place.slot).reg
  if (state !== null && state !== undefined && (state.flags & Flag.RCU) !== 0) return Flag.RCU
  return Flag.TRUSTED
}
