import type { LocalCall } from '../../../isa/index.ts'
import { checkArgumentOffset, checkUnmodified } from '../context/access.ts'
import type { Subprogram } from '../program/layout.ts'
import { type Parameter, parametersOf } from '../program/signature.ts'
import { deny, invalid, Reject, unsupported } from '../reject.ts'
import { Flag, NOT_INIT, pointerReg, type Reg, regName, unknownReg } from '../state/register.ts'
import { Frame } from '../state/state.ts'
import type { Walk } from '../walk.ts'
import { structsMatch } from './arguments.ts'
import { initializedDynptr } from './dynptr.ts'
import { checkMemory } from './memory-argument.ts'
import { clobberCallerSaved, forgetPacketPointers } from './resources.ts'

const MAX_FRAMES = 8

/** Call of a function of the program: walked into when static, taken at its signature when global. */
export function stepLocalCall(walk: Walk, op: LocalCall): void {
  const callee = walk.facts.subprograms.find((s) => s.start === op.target)
  if (callee === undefined) return invalid(`No program starts at insn ${op.target}`)
  if (callee.global) {
    callGlobal(walk, callee)
    if (walk.trace?.log.paths === true) walk.say(`Func#${callee.index} ('${callee.name}') is global and assumed valid.`)
    walk.called.add(callee.index)
    walk.trace?.touch(0)
    clobberCallerSaved(walk)
    walk.set(0, unknownReg())
    if (walk.facts.effects.packetChangers.has(callee.index)) forgetPacketPointers(walk)
    walk.insn++
    return
  }
  noteMismatch(walk, callee)
  enter(walk, callee, walk.insn)
  const frame = walk.state.frame
  const caller = walk.state.frames[walk.state.frames.length - 2] as Frame
  for (let i = 1; i <= 5; i++) frame.regs[i] = caller.regs[i] as Reg
  for (let i = 0; i <= 5; i++) caller.regs[i] = NOT_INIT
  walk.liveness.reset()
  walk.trace?.frame('caller:\n', walk.state, caller.index)
  walk.trace?.frame('callee:\n', walk.state, frame.index)
  walk.trace?.touch(0)
  walk.insn = callee.start
}

/** A new innermost frame for a function. */
export function enter(walk: Walk, callee: Subprogram, callsite: number): Frame {
  const { state } = walk
  if (state.frames.length >= MAX_FRAMES) {
    throw new Reject('E2BIG', `the call stack of ${state.frames.length + 1} frames is too deep`)
  }
  const frame = new Frame(callsite, state.frames.length, callee.index)
  const fp = pointerReg('fp')
  fp.frame = frame.index
  frame.regs[10] = fp
  state.frames.push(frame)
  walk.trace?.touchAll()
  return frame
}

function callGlobal(walk: Walk, callee: Subprogram): void {
  const { state } = walk
  if (state.locks > 0) {
    invalid('global function calls are not allowed while holding a lock,\nuse static function instead')
  }
  const sleeps = walk.facts.effects.sleepers.has(callee.index) && !maySleep(walk)
  try {
    parametersOf(walk.facts, callee).forEach((param, i) => checkParameter(walk, param, i))
  } catch (error) {
    if (!(error instanceof Reject) || error.errno === 'UNSUPPORTED' || error.errno === 'EFAULT') throw error
    if (sleeps) throw new Reject('EINVAL', `${error.text}\n${MAY_NOT_SLEEP}`)
    throw new Reject(
      error.errno,
      `${error.text}\nCaller passes invalid args into func#${callee.index} ('${callee.name}')`,
    )
  }
  if (sleeps) invalid(MAY_NOT_SLEEP)
}

const MAY_NOT_SLEEP = `global functions that may sleep are not allowed in non-sleepable context,
i.e., in a RCU/IRQ/preempt-disabled section, or in
a non-sleepable BPF program context`

function maySleep({ state }: Walk): boolean {
  return state.sleepable && state.rcu === 0 && state.preempt === 0 && state.irqId === 0
}

/** Whether a static function gets what its BTF says: compilers change such functions without telling. */
function matchesBtf(walk: Walk, callee: Subprogram): boolean {
  let params: readonly Parameter[]
  try {
    params = parametersOf(walk.facts, callee)
  } catch (error) {
    if (error instanceof Reject) return false
    throw error
  }
  try {
    params.forEach((param, i) => checkParameter(walk, param, i))
    return true
  } catch (error) {
    if (!(error instanceof Reject)) throw error
    walk.say(error.text)
    return false
  }
}

/** Remembers (for programs that replace it) and says when a static function or a callback gets other arguments. */
export function noteMismatch(walk: Walk, callee: Subprogram): void {
  const isWanted = walk.facts.isTarget || walk.trace !== null
  if (isWanted && callee.reliable && callee.btfId !== 0) callee.reliable = matchesBtf(walk, callee)
}

/** What a caller passes to a global function. */
function checkParameter(walk: Walk, param: Parameter, index: number): void {
  const regno = index + 1
  const reg = walk.reg(regno)
  // Where nothing can go wrong the function may get anything.
  const isAny = (param.kind === 'mem' || param.kind === 'btf') && (param.flags & Flag.UNTRUSTED) !== 0
  if (isAny) return
  switch (param.kind) {
    case 'anything':
      if (reg.kind !== 'scalar') invalid(`R${regno} is not a scalar`)
      return
    case 'ctx':
      checkArgumentOffset(reg, regno, false)
      if (reg.kind !== 'ctx') invalid(`arg#${index} expects pointer to ctx`)
      return
    case 'mem':
      checkArgumentOffset(reg, regno, false)
      checkMemoryParameter(walk, regno, param)
      return
    case 'arena':
      if (reg.kind !== 'arena' && reg.kind !== 'scalar') invalid(`R${regno} is not a pointer to arena or scalar.`)
      return
    case 'dynptr':
      checkArgumentOffset(reg, regno, false)
      initializedDynptr(walk, regno, null)
      return
    case 'btf':
      if (isNull(reg) && (param.flags & Flag.MAYBE_NULL) !== 0) return
      checkStructParameter(walk, reg, regno, param)
  }
}

/** Memory that the function may read and write; of one that may be null what it is otherwise. */
function checkMemoryParameter(walk: Walk, regno: number, param: Parameter & { kind: 'mem' }): void {
  const reg = walk.reg(regno)
  if (!isNull(reg)) {
    if (reg.mayBeNull) walk.set(regno, withoutNull(reg))
    try {
      checkMemory(walk, regno, param.size, false, false)
      checkMemory(walk, regno, param.size, false, true)
    } catch (error) {
      if (error instanceof Reject && error.errno !== 'UNSUPPORTED') invalid(error.text)
      throw error
    }
    walk.set(regno, reg)
  }
  const nonNull = (param.flags & Flag.MAYBE_NULL) === 0
  if (nonNull && (reg.mayBeNull || isNull(reg))) invalid(`arg#${regno - 1} is expected to be non-NULL`)
}

function checkStructParameter(walk: Walk, reg: Reg, regno: number, param: Parameter & { kind: 'btf' }): void {
  const { kernelBtf } = walk.facts
  if (kernelBtf === null) return unsupported('kernel types without kernel BTF')
  const expected = 'ptr_, trusted_ptr_, rcu_ptr_'
  const nullable = (param.flags & Flag.MAYBE_NULL) !== 0
  const flags = nullable ? reg.flags & ~Flag.MAYBE_NULL : reg.flags
  const isFit = flags === 0 || flags === Flag.TRUSTED || flags === Flag.RCU
  if (reg.kind !== 'ptr_' || !isFit || reg.btf !== 'kernel') {
    return deny(`R${regno} type=${regName(reg)} expected=${expected}`)
  }
  if (!structsMatch(kernelBtf, reg.btfId, reg.off, param.btfId)) {
    deny(`R${regno} is of type ${kernelBtf.name(reg.btfId)} but ${kernelBtf.name(param.btfId)} is expected`)
  }
  checkUnmodified(reg, regno, true)
}

function withoutNull(reg: Reg): Reg {
  const to = reg.clone()
  to.flags &= ~Flag.MAYBE_NULL
  return to
}

function isNull(reg: Reg): boolean {
  const { kind, value } = reg
  return kind === 'scalar' && value.mh === 0 && value.ml === 0 && value.vh === 0 && value.vl === 0
}

/** Registers with which a global function, or an extension, is verified on its own. */
export function entryRegisters(walk: Walk, sub: Subprogram): void {
  parametersOf(walk.facts, sub).forEach((param, i) => {
    walk.set(i + 1, entryRegister(walk, param))
  })
}

function entryRegister(walk: Walk, param: Parameter): Reg {
  if (param.kind === 'mem') {
    const reg = pointerReg('mem', param.flags)
    reg.memSize = param.size
    if (reg.mayBeNull) reg.id = walk.newId()
    return reg
  }
  if (param.kind === 'btf') {
    const reg = pointerReg('ptr_', param.flags)
    reg.btfId = param.btfId
    reg.id = walk.newId()
    return reg
  }
  if (param.kind !== 'dynptr') return param.kind === 'ctx' ? pointerReg('ctx') : unknownReg()
  const reg = pointerReg('dynptr_ptr')
  reg.dynptr = { type: 'local', id: walk.newId(), first: true }
  return reg
}
