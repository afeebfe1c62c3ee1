import { BtfKind, type Btf } from '../../../btf/index.ts'
import { mayWritePacket } from '../context/access.ts'
import { kernelContext } from '../context/kernel-types.ts'
import { Bounds, constant } from '../domain/bounds.ts'
import { KFUNCS, mayCall } from '../facts/kfuncs.ts'
import { mayHoldLock } from '../facts/query.ts'
import { inRcuSection } from '../memory/btf.ts'
import { deny, invalid, Reject, unsupported } from '../reject.ts'
import { Flag, NOT_INIT, pointerReg, type Reg, scalarReg, unknownReg } from '../state/register.ts'
import type { Walk } from '../walk.ts'
import { callLess, callWork } from './callback.ts'
import { sliceOf } from './dynptr.ts'
import { checkReturn } from './exit.ts'
import { destroyIterator, forkNext } from './iterator.ts'
import { checkKfuncArguments } from './kfunc-arguments.ts'
import { hasFlag, type KfuncCall } from './kfunc-call.ts'
import { allowedUnderLock, inLess } from './kinds.ts'
import { giveAway, newObject, nodeReg, nonOwning, objectReg } from './objects.ts'
import { acquire, checkNoResources, clobberCallerSaved, forgetPacketPointers, forgetRcu, release } from './resources.ts'

/** A call of a kernel function, by its BTF and its flags. `exit` when it ends the program. */
export function stepKfuncCall(walk: Walk): 'next' | 'exit' {
  const op = walk.op(walk.insn)
  if (!walk.facts.kfuncs.has(walk.insn) && op.kind === 'call' && op.call === 'kfunc' && op.imm === 0) {
    if (!walk.state.speculative) walk.unresolvedCalls.add(walk.insn)
    return 'next'
  }
  const call = resolve(walk)
  const { name } = call
  if (walk.state.locks > 0 && !allowedUnderLock(name)) invalid('function calls are not allowed while holding a lock')
  const takesLock = name === 'bpf_res_spin_lock' || name === 'bpf_res_spin_lock_irqsave'
  if (takesLock) forkFailure(walk)
  if (name === '__bpf_trap') {
    throw new Reject('EFAULT', 'unexpected __bpf_trap() due to uninitialized variable?')
  }
  const sleepable = hasFlag(call, 'sleepable')
  if (sleepable && !walk.state.sleepable) deny(`program must be sleepable to call sleepable kfunc ${name}`)
  checkKfuncArguments(walk, call)
  startCallbacks(walk, call)
  changeRegions(walk, call, sleepable)
  if (call.releases > 0 && !release(walk, walk.reg(call.releases).refId)) {
    invalid(`kfunc ${name}#${walk.facts.kfuncs.get(walk.insn)?.btfId} reference has not been acquired before`)
  }
  if (INSERTS.has(name)) giveAway(walk, walk.reg(2).refId)
  if (name === 'bpf_throw') return stepThrow(walk)
  clobberCallerSaved(walk)
  walk.set(0, takesLock ? scalarReg(constant(0)) : result(walk, call))
  if (hasFlag(call, 'packet')) forgetPacketPointers(walk)
  if (call.place !== null && hasFlag(call, 'iterNext')) forkNext(walk, call.place)
  if (call.place !== null && hasFlag(call, 'iterDestroy')) destroyIterator(walk, call.place)
  return 'next'
}

const INSERTS: ReadonlySet<string> = new Set([
  'bpf_list_push_front_impl',
  'bpf_list_push_back_impl',
  'bpf_rbtree_add_impl',
])

function resolve(walk: Walk): KfuncCall {
  const kfunc = walk.facts.kfuncs.get(walk.insn)
  if (kfunc === undefined) return unsupported('this kernel function')
  const { name, btfId } = kfunc
  const btf = walk.facts.kernelBtf
  const func = btf === null || btfId === 0 ? null : btf.type(btfId)
  const proto = btf !== null && func !== null && func.kind === BtfKind.FUNC ? btf.type(func.type) : null
  if (btf === null || proto === null || proto.kind !== BtfKind.FUNC_PROTO) return unsupported(`${name} without BTF`)
  const row = KFUNCS[name]
  if (row === undefined) return unsupported(`the kernel function ${name}`)
  if (!mayCall(row, walk.facts)) deny(`calling kernel function ${name} is not allowed`)
  return {
    name,
    row,
    btf,
    proto,
    params: proto.params,
    refId: 0,
    releases: 0,
    place: null,
    dynptr: null,
    constant: -1,
    map: null,
    mapUid: 0,
    callback: -1,
    root: null,
    objectId: 0,
    owned: false,
  }
}

const MAX_ERRNO = 4095

/** A resilient lock may not be got: the way on with a negative errno, without the lock. */
function forkFailure(walk: Walk): void {
  const other = walk.push(walk.insn + 1, walk.insn, 'ENOMEM')
  for (let i = 1; i <= 5; i++) other.set(i, NOT_INIT)
  const error = new Bounds()
  error.sminH = error.smaxH = -1
  error.sminL = error.s32min = -MAX_ERRNO
  error.smaxL = error.s32max = -1
  other.set(0, scalarReg(error.sync()))
}

function startCallbacks(walk: Walk, call: KfuncCall): void {
  switch (call.name) {
    case 'bpf_rbtree_add_impl':
      if (call.root !== null) callLess(walk, call.callback, call.root)
      return
    case 'bpf_wq_set_callback_impl':
      if (call.map !== null) callWork(walk, call.callback, call.map, call.mapUid, false)
      return
    case 'bpf_task_work_schedule_signal_impl':
    case 'bpf_task_work_schedule_resume_impl':
      if (call.map !== null) callWork(walk, call.callback, call.map, call.mapUid, true)
  }
}

/** RCU and preemption sections, and what may not be called in them. */
function changeRegions(walk: Walk, call: KfuncCall, sleepable: boolean): void {
  const { state } = walk
  const { name } = call
  const sleeps = (where: string): never => deny(`kernel func ${name} is sleepable within ${where}`)
  const isLock = name === 'bpf_rcu_read_lock'
  const isUnlock = name === 'bpf_rcu_read_unlock'
  if (state.rcu > 0) {
    if ((isLock || isUnlock) && inLess(walk)) {
      deny('Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback')
    }
    if (isLock) invalid(`nested rcu read lock (kernel function ${name})`)
    if (isUnlock) {
      state.rcu--
      forgetRcu(walk)
    } else if (sleepable) sleeps('rcu_read_lock region')
  } else if (isLock) state.rcu++
  else if (isUnlock) invalid(`unmatched rcu read unlock (kernel function ${name})`)
  if (name === 'bpf_preempt_disable') state.preempt++
  else if (name === 'bpf_preempt_enable') {
    if (state.preempt === 0) invalid(`unmatched attempt to enable preemption (kernel function ${name})`)
    state.preempt--
  } else if (state.preempt > 0 && sleepable) sleeps('non-preemptible region')
  if (state.irqId !== 0 && sleepable) sleeps('IRQ-disabled region')
  if (hasFlag(call, 'rcuProtected') && !inRcuSection(walk)) {
    deny(`kernel func ${name} requires RCU critical section protection`)
  }
}

function stepThrow(walk: Walk): 'exit' {
  if (!walk.facts.subprograms.some((s) => s.isExceptionCallback)) checkReturn(walk, 1)
  checkNoResources(walk, 'bpf_throw')
  return 'exit'
}

function result(walk: Walk, call: KfuncCall): Reg {
  const { btf, proto } = call
  const type = btf.type(btf.skipModifiersAndTypedefs(proto.returnType))
  if (type.kind === BtfKind.VOID) return NOT_INIT
  if (type.kind !== BtfKind.PTR) return unknownReg()
  const targetId = btf.skipModifiersAndTypedefs(type.type)
  let to = special(walk, call, btf, targetId)
  const target = btf.type(targetId)
  if (to === null) {
    if (target.kind === BtfKind.VOID) return unknownReg()
    if (target.kind === BtfKind.STRUCT || target.kind === BtfKind.UNION) to = structResult(walk, call, targetId)
    else {
      const isCookie = call.name === 'bpf_session_cookie'
      to = pointerReg('mem', isCookie ? 0 : Flag.RDONLY)
      to.memSize = btf.sizeOf(targetId)
      to.refId = call.refId
    }
  }
  return withIdentity(walk, call, to, btf.name(targetId))
}

function withIdentity(walk: Walk, call: KfuncCall, to: Reg, target: string): Reg {
  // The program still owns the object that it takes another reference of: that cannot fail.
  const mayBeNull = hasFlag(call, 'null') && !(call.name === 'bpf_refcount_acquire_impl' && call.owned)
  if (mayBeNull) {
    to.flags |= Flag.MAYBE_NULL
    to.id = walk.newId()
  }
  let reg = to
  if (hasFlag(call, 'acquire')) {
    reg.refId = acquire(walk)
    if (mayBeNull) reg.id = reg.refId
  } else if (target === 'bpf_rb_node' || target === 'bpf_list_node') reg = nonOwning(walk, to)
  if (reg.id === 0 && mayHoldLock(reg, walk.facts.btf)) reg.id = walk.newId()
  return reg
}

/** Results that do not follow from the function's type; null for all others. */
function special(walk: Walk, call: KfuncCall, btf: Btf, targetId: number): Reg | null {
  const target = btf.name(targetId)
  if (call.root !== null && (target === 'bpf_list_node' || target === 'bpf_rb_node')) return nodeReg(call.root)
  switch (call.name) {
    case 'bpf_obj_new_impl':
      return newObject(walk, call.constant, false)
    case 'bpf_percpu_obj_new_impl':
      return newObject(walk, call.constant, true)
    case 'bpf_refcount_acquire_impl':
      return objectReg(call.objectId)
    case 'bpf_cast_to_kern_ctx': {
      const to = pointerReg('ptr_', Flag.TRUSTED)
      to.btfId = kernelContext(walk, walk.facts.type)
      return to
    }
    case 'bpf_rdonly_cast':
      return readOnlyCast(btf, call.constant)
    case 'bpf_dynptr_slice':
    case 'bpf_dynptr_slice_rdwr': {
      if (call.dynptr === null || call.constant < 0) return unsupported('slices without a constant size')
      const isWritable = call.name === 'bpf_dynptr_slice_rdwr'
      if (isWritable && !mayWritePacket(walk.facts)) invalid('the prog does not allow writes to packet data')
      const slice = sliceOf(call.dynptr, call.constant, isWritable ? 0 : Flag.RDONLY)
      slice.refId = 0
      return slice
    }
    default:
      return null
  }
}

/** Any memory as a kernel type, to be read without trust. */
function readOnlyCast(btf: Btf, id: number): Reg {
  if (id < 0 || id >= btf.typeCount) invalid(`Unknown type ID ${id} passed to kfunc bpf_rdonly_cast`)
  const kind = btf.kind(id)
  if (kind === BtfKind.VOID) return pointerReg('mem', Flag.RDONLY | Flag.UNTRUSTED)
  if (kind !== BtfKind.STRUCT && kind !== BtfKind.UNION) {
    invalid('kfunc bpf_rdonly_cast type ID argument must be of a struct or void')
  }
  const to = pointerReg('ptr_', Flag.UNTRUSTED)
  to.btfId = id
  return to
}

function structResult(walk: Walk, call: KfuncCall, targetId: number): Reg {
  const to = pointerReg('ptr_')
  to.btfId = targetId
  if (call.name === 'bpf_get_kmem_cache') to.flags |= Flag.UNTRUSTED
  else if (hasFlag(call, 'rcuProtected')) to.flags |= Flag.RCU
  else if (hasFlag(call, 'iterNext') && call.place !== null) {
    const iterator = walk.state.frames[call.place.frame]?.slot(call.place.slot).reg
    to.flags |= ((iterator?.flags ?? 0) & Flag.RCU) !== 0 ? Flag.RCU : Flag.TRUSTED
  }
  return to
}
