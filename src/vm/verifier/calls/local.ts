import { BtfKind } from '../../../btf/index.ts'
import { contextStruct, ProgType } from '../../../uapi/index.ts'
import type { LocalCall } from '../../../isa/index.ts'
import { invalid, Reject, unsupported } from '../reject.ts'
import { Flag, NOT_INIT, pointerReg, type Reg, unknownReg } from '../state/register.ts'
import { Frame } from '../state/state.ts'
import type { Subprogram } from '../program/layout.ts'
import { checkUnmodified } from '../context/access.ts'
import { checkMemory } from './memory-argument.ts'
import type { ProgramFacts, Walk } from '../walk.ts'
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
    walk.set(0, returnsNothing(walk, callee) ? NOT_INIT : unknownReg())
    if (changesPacket(walk, callee)) forgetPacketPointers(walk)
    walk.insn++
    return
  }
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
    throw new Reject('E2BIG', `the call stack of ${state.frames.length} frames is too deep`)
  }
  const frame = new Frame(callsite, state.frames.length, callee.index)
  const fp = pointerReg('fp')
  fp.frame = frame.index
  frame.regs[10] = fp
  state.frames.push(frame)
  walk.trace?.touchAll()
  return frame
}

function returnsNothing(walk: Walk, callee: Subprogram): boolean {
  const proto = signature(walk, callee)
  return proto !== null && walk.facts.btf?.skipModifiersAndTypedefs(proto.returnType) === 0
}

export interface Parameter {
  readonly kind: 'anything' | 'ctx' | 'mem' | 'unsupported'
  readonly nullable: boolean
  readonly size: number
}

function signature(walk: Walk, sub: Subprogram): { returnType: number; params: readonly { type: number }[] } | null {
  const { btf } = walk.facts
  if (btf === null || sub.btfId === 0) return null
  const func = btf.type(sub.btfId)
  if (func.kind !== BtfKind.FUNC) return null
  const proto = btf.type(func.type)
  return proto.kind === BtfKind.FUNC_PROTO ? proto : null
}

/** What a global function's BTF says of its parameters. */
export function parameters(walk: Walk, sub: Subprogram): readonly Parameter[] {
  const { btf } = walk.facts
  const proto = signature(walk, sub)
  if (btf === null || proto === null) return unsupported('global functions without BTF')
  for (const type of btf.types()) {
    if (type.kind === BtfKind.DECL_TAG && type.type === sub.btfId && type.name.startsWith('arg:')) {
      if (type.name !== 'arg:nonnull' && type.name !== 'arg:ctx') return unsupported(`the argument tag ${type.name}`)
    }
  }
  const tagged = (index: number, name: string): boolean => {
    for (const type of btf.types()) {
      if (
        type.kind === BtfKind.DECL_TAG &&
        type.type === sub.btfId &&
        type.componentIndex === index &&
        type.name === name
      ) {
        return true
      }
    }
    return false
  }
  if (proto.params.length > 5) {
    invalid(`Global function ${sub.name}() with ${proto.params.length} > 5 args. Buggy compiler.`)
  }
  return proto.params.map((param, i) => {
    const type = btf.type(btf.skipModifiersAndTypedefs(param.type))
    if (type.kind === BtfKind.INT || type.kind === BtfKind.ENUM || type.kind === BtfKind.ENUM64) {
      return { kind: 'anything', nullable: false, size: 0 }
    }
    if (type.kind !== BtfKind.PTR) return { kind: 'unsupported', nullable: false, size: 0 }
    const target = btf.type(btf.skipModifiersAndTypedefs(type.type))
    if (isContextPointer(walk.facts, sub.btfId, i, type.type)) {
      return { kind: 'ctx', nullable: false, size: 0 }
    }
    // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
    switch (target.kind) {
      case BtfKind.INT:
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
      case BtfKind.STRUCT:
      case BtfKind.UNION:
      case BtfKind.ARRAY:
      case BtfKind.PTR:
        if (target.name === 'bpf_dynptr') return { kind: 'unsupported', nullable: false, size: 0 }
        return { kind: 'mem', nullable: !tagged(i, 'arg:nonnull'), size: btf.sizeOf(target.id) }
      default:
        return { kind: 'unsupported', nullable: false, size: 0 }
    }
  })
}

/** Whether a parameter, a pointer to `pointee`, is the program's context: by its type's name or by its tag. */
export function isContextPointer(facts: ProgramFacts, func: number, index: number, pointee: number): boolean {
  const { btf } = facts
  if (btf === null) return false
  const target = btf.type(btf.skipModifiersAndTypedefs(pointee))
  const isStruct = target.kind === BtfKind.STRUCT || target.kind === BtfKind.UNION
  if (isContextName(facts.type, btf.name(pointee), isStruct ? target.name : '')) return true
  for (const type of btf.types()) {
    const isTag = type.kind === BtfKind.DECL_TAG && type.type === func && type.componentIndex === index
    if (isTag && type.name === 'arg:ctx') return true
  }
  return false
}

/** Whether a pointer to a type of this name is the program's context. */
function isContextName(type: number, name: string, structName: string): boolean {
  if (type === ProgType.KPROBE) return name === 'bpf_user_pt_regs_t' || structName === 'pt_regs'
  if (structName === '') return false
  const own = contextStruct(type)
  return own !== null && structName === own
}

/** Global functions return a number. */
function checkReturnType(walk: Walk, callee: Subprogram, fail: () => never): void {
  const proto = signature(walk, callee)
  const { btf } = walk.facts
  if (proto === null || btf === null) return fail()
  const kind = btf.kind(btf.skipModifiersAndTypedefs(proto.returnType))
  if (kind !== BtfKind.INT && kind !== BtfKind.ENUM && kind !== BtfKind.ENUM64) fail()
}

function callGlobal(walk: Walk, callee: Subprogram): void {
  if (walk.state.locks > 0) {
    invalid('global function calls are not allowed while holding a lock,\nuse static function instead')
  }
  const fail = (): never => invalid(`Caller passes invalid args into func#${callee.index} ('${callee.name}')`)
  checkReturnType(walk, callee, fail)
  const params = parameters(walk, callee)
  params.forEach((param, i) => {
    const regno = i + 1
    const reg = walk.reg(regno)
    switch (param.kind) {
      case 'anything':
        if (reg.kind !== 'scalar') fail()
        return
      case 'ctx':
        if (reg.kind !== 'ctx') fail()
        checkUnmodified(reg, regno)
        return
      case 'mem':
        if (reg.kind === '?') fail()
        if (reg.kind === 'scalar') {
          if (!(param.nullable && isNull(reg))) fail()
          return
        }
        try {
          if (reg.mayBeNull && !param.nullable) fail()
          const copy = reg.mayBeNull ? withoutNull(reg) : reg
          const kept = walk.reg(regno)
          walk.set(regno, copy)
          checkMemory(walk, regno, param.size, false, false)
          checkMemory(walk, regno, param.size, false, true)
          walk.set(regno, kept)
        } catch (error) {
          if (error instanceof Reject && error.errno !== 'UNSUPPORTED') fail()
          throw error
        }
        return
      case 'unsupported':
        unsupported(`argument ${i} of the global function ${callee.name}`)
    }
  })
}

function withoutNull(reg: Reg): Reg {
  const to = reg.clone()
  to.flags &= ~Flag.MAYBE_NULL
  return to
}

function isNull(reg: Reg): boolean {
  const { value } = reg
  return value.mh === 0 && value.ml === 0 && value.vh === 0 && value.vl === 0
}

/** Registers with which a global function is verified on its own. */
export function entryRegisters(walk: Walk, sub: Subprogram): void {
  parameters(walk, sub).forEach((param, i) => {
    switch (param.kind) {
      case 'anything':
        return walk.set(i + 1, unknownReg())
      case 'ctx':
        return walk.set(i + 1, pointerReg('ctx'))
      case 'mem': {
        const reg = pointerReg('mem', param.nullable ? Flag.MAYBE_NULL : 0)
        reg.memSize = param.size
        if (param.nullable) reg.id = walk.newId()
        return walk.set(i + 1, reg)
      }
      case 'unsupported':
        return unsupported(`argument ${i} of the global function ${sub.name}`)
    }
  })
}

/** Whether a global function may call a helper that moves the packet; unknown here, so the safe answer. */
function changesPacket(walk: Walk, callee: Subprogram): boolean {
  return walk.facts.packetChangers.has(callee.index)
}
