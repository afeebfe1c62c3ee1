import { BtfKind } from '../../../btf/index.ts'
import { AttachType, ProgType } from '../../../uapi/index.ts'
import { checkUnmodified } from '../context/access.ts'
import { type Scalar, sminOf, smaxOf } from '../domain/bounds.ts'
import { markPrecise } from '../precision.ts'
import { keepSecret } from '../privilege.ts'
import { readReg } from '../registers.ts'
import { deny, invalid } from '../reject.ts'
import { isSyncCallbackCall } from './kinds.ts'
import { type Reg, regName } from '../state/register.ts'
import type { Frame } from '../state/state.ts'
import { signedText } from '../text.ts'
import type { Walk } from '../walk.ts'
import { previousEntry, widen } from '../widen.ts'
import { checkNoResources } from './resources.ts'
import { returnRange, returns32Bit, returnsVoid } from './return-range.ts'

/** End of a function: back to the caller, or the end of this path. */
export function stepExit(walk: Walk): 'next' | 'exit' {
  const { state } = walk
  const inMain = state.frames.length === 1
  if (inMain) checkNoResources(walk, 'BPF_EXIT instruction in main prog', true, handedBack(walk))
  if (!inMain) {
    walk.liveness.update(state)
    returnToCaller(walk)
    if (walk.trace !== null) walk.trace.broken = true
    return 'next'
  }
  checkReturn(walk)
  return 'exit'
}

/** "At program exit the register R0 has smin=.. smax=.. should have been in [0, 1]". */
function outOfRange(context: string, regno: number, value: Scalar, range: readonly [number, number]): never {
  const min = sminOf(value)
  const max = smaxOf(value)
  let text = `${context} the register R${regno} has`
  const unknown = value.sminH === -0x80000000 && value.sminL === 0
  const unbounded = value.smaxH === 0x7fffffff && value.smaxL === -1
  if (!unknown) text += ` smin=${Number.isSafeInteger(min) ? min : signedText(BigInt(min))}`
  if (!unbounded) text += ` smax=${Number.isSafeInteger(max) ? max : signedText(BigInt(max))}`
  if (unknown && unbounded) text += ' unknown scalar value'
  return invalid(`${text} should have been in [${range[0]}, ${range[1]}]`)
}

function inRange(value: Scalar, range: readonly [number, number], is32: boolean): boolean {
  if (is32) return range[0] <= value.s32min && value.s32max <= range[1]
  return range[0] <= sminOf(value) && smaxOf(value) <= range[1]
}

/** Reference that a struct_ops program may give to its caller by returning it. */
function handedBack(walk: Walk): number {
  return walk.facts.type === ProgType.STRUCT_OPS ? walk.reg(0).refId : 0
}

/** Kernel structure that a struct_ops function returns a pointer to, 0 for none. */
function returnedStruct(walk: Walk): number {
  const { target } = walk.facts
  if (target === null || target.structOps === null || target.proto === null) return 0
  const type = target.btf.type(target.btf.skipModifiersAndTypedefs(target.proto.returnType))
  return type.kind === BtfKind.PTR ? target.btf.skipModifiersAndTypedefs(type.type) : 0
}

/** The value that a struct_ops program returns; true when it is settled. */
function checkStructOpsReturn(walk: Walk, regno: number, reg: Reg): boolean {
  const struct = returnedStruct(walk)
  if (struct === 0) {
    readReg(walk, regno)
    return true
  }
  if (reg.kind !== 'ptr_' || reg.btf !== 'kernel' || reg.btfId !== struct || reg.refId === 0) return false
  checkUnmodified(reg, regno)
  return true
}

/** The value with which the program (or a global function, or a callback) ends, in r0 or as the argument of bpf_throw. */
export function checkReturn(walk: Walk, regno: number = 0): void {
  const { facts, state } = walk
  const frame = state.frames[0] as Frame
  const sub = facts.subprograms[frame.subprog]
  const isSub = frame.subprog !== 0
  if (isSub && sub !== undefined && sub.btfId !== 0 && isVoid(walk, sub.btfId)) return
  if (frame.inAsync) {
    const reg = readReg(walk, regno)
    const range = frame.callbackRange ?? [0, 0]
    const what = 'At async callback return'
    if (reg.kind !== 'scalar') invalid(`${what} the register R${regno} is not a known value (${regName(reg)})`)
    markPrecise(walk, regno)
    if (!inRange(reg.value, range, false)) outOfRange(what, regno, reg.value, range)
    return
  }
  if (isSub && !frame.inException) {
    const reg = readReg(walk, regno)
    keepSecret(walk, regno, reg, 'leaks addr as return value')
    if (reg.kind !== 'scalar') {
      invalid(`At subprogram exit the register R${regno} is not a scalar value (${regName(reg)})`)
    }
    return
  }
  const isOps = facts.type === ProgType.STRUCT_OPS
  const isHook = facts.type === ProgType.LSM && facts.attachType !== AttachType.LSM_CGROUP
  if ((isOps || isHook) && returnsVoid(facts.target)) return
  if (isOps && checkStructOpsReturn(walk, regno, walk.reg(regno))) return
  const reg = readReg(walk, regno)
  keepSecret(walk, regno, reg, 'leaks addr as return value')
  const range = isOps ? ([0, 0] as const) : returnRange(facts)
  if (range === null) return
  if (reg.kind !== 'scalar') invalid(`At program exit the register R${regno} is not a known value (${regName(reg)})`)
  markPrecise(walk, regno)
  if (inRange(walk.reg(regno).value, range, returns32Bit(facts))) return
  const isVoidCgroup = facts.attachType === AttachType.LSM_CGROUP && facts.type === ProgType.LSM
  if (isVoidCgroup && returnsVoid(facts.target)) {
    invalid("Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!")
  }
  outOfRange('At program exit', regno, reg.value, range)
}

function isVoid(walk: Walk, btfId: number): boolean {
  const { btf } = walk.facts
  if (btf === null) return false
  const func = btf.type(btfId)
  if (func.kind !== BtfKind.FUNC) return false
  const proto = btf.type(func.type)
  return proto.kind === BtfKind.FUNC_PROTO && btf.skipModifiersAndTypedefs(proto.returnType) === 0
}

/** The innermost function returns what is in r0. */
export function returnToCaller(walk: Walk): void {
  const { state } = walk
  const callee = state.frame
  const reg = callee.regs[0] as Frame['regs'][number]
  if (reg.kind === 'fp') invalid('cannot return stack pointer to the caller')
  const caller = state.frames[state.frames.length - 2] as Frame
  if (callee.inCallback) {
    if (reg.kind !== 'scalar') deny('R0 not a scalar value')
    markPrecise(walk, 0)
    const value = (callee.regs[0] as typeof reg).value
    if (callee.callbackRange !== null && !inRange(value, callee.callbackRange, true)) {
      outOfRange('At callback return', 0, value, callee.callbackRange)
    }
  } else caller.regs[0] = reg
  const site = callee.callsite
  const isLoop = isSyncCallbackCall(walk.facts, site)
  const next = isLoop && callee.inCallback ? site : site + 1
  walk.trace?.frame('returning from callee:\n', state, callee.index)
  walk.trace?.frame(`to caller at ${next}:\n`, state, caller.index)
  state.frames.pop()
  walk.liveness.reset()
  if (isLoop && callee.inCallback) {
    const old = previousEntry(walk, state, site)
    if (old !== null) widen(old, state, walk.lastId)
  }
  walk.insn = next
}
