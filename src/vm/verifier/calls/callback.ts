import { BtfKind } from '../../../btf/index.ts'
import { HelperId as H } from '../../../uapi/index.ts'
import { isConst, isZero, umaxOf } from '../domain/bounds.ts'
import type { GraphRoot } from '../facts/fields.ts'
import type { MapFacts } from '../facts/maps.ts'
import { markPrecise } from '../precision.ts'
import type { Subprogram } from '../program/layout.ts'
import { Reject, unsupported } from '../reject.ts'
import { NOT_INIT, pointerReg, Reg, unknownReg } from '../state/register.ts'
import { Frame, State } from '../state/state.ts'
import type { Walk } from '../walk.ts'
import { enter, noteMismatch } from './local.ts'
import { nodeReg, nonOwning } from './objects.ts'

/** Values that a callback may return. */
type Range = readonly [number, number]

const ANY32: Range = [-0x80000000, 0x7fffffff]

function callee(walk: Walk, index: number): Subprogram {
  const sub = walk.facts.subprograms[index] as Subprogram
  sub.isCallback = true
  noteMismatch(walk, sub)
  return sub
}

/** Arguments r1 to r5 of a callback. */
function fill(frame: Frame, args: readonly Reg[]): void {
  for (let i = 1; i <= 5; i++) frame.regs[i] = args[i - 1] ?? NOT_INIT
}

/**
 * Once more around, in the state as it is now: walked later, and back at the call when it returns. The way on after the
 * last time is the current state.
 */
function pushSync(walk: Walk, index: number, args: readonly Reg[], range: Range): void {
  const sub = callee(walk, index)
  const site = walk.insn
  const pushed = walk.push(sub.start, site, 'ENOMEM')
  pushed.unrollDepth++
  pushed.frame.callbackDepth++
  const kept = walk.state
  walk.state = pushed
  const frame = enter(walk, sub, site)
  walk.state = kept
  frame.inCallback = true
  frame.callbackRange = range
  fill(frame, args)
  kept.frame.callbackDepth = 0
}

/** Somebody calls the function later, with a stack of its own: walked later from a fresh state. */
function pushAsync(walk: Walk, index: number, args: readonly Reg[], range: Range, sleepable: boolean): void {
  const sub = callee(walk, index)
  sub.isAsyncCallback = true
  const state = new State()
  state.sleepable = sleepable
  state.firstInsn = sub.start
  const frame = new Frame(-1, 0, sub.index)
  frame.regs[10] = pointerReg('fp')
  frame.inAsync = true
  frame.asyncEntry = walk.state.frame.asyncEntry + 1
  frame.callbackRange = range
  fill(frame, args)
  state.frames.push(frame)
  walk.trace?.touchAll()
  walk.push(sub.start, walk.insn, 'EFAULT', state)
}

/** A map with one of its keys and values, as callbacks get them. */
function element(map: MapFacts, mapUid: number): readonly Reg[] {
  return (['map_ptr', 'map_key', 'map_value'] as const).map((kind) => {
    const reg = pointerReg(kind)
    reg.map = map
    reg.mapUid = mapUid
    return reg
  })
}

/** A helper that gets a function of the program. */
export function callCallback(walk: Walk, id: number, index: number, map: MapFacts | null, mapUid: number): void {
  const arg = (i: number): Reg => walk.reg(i)
  switch (id) {
    case H.loop: {
      if (arg(1).kind !== 'scalar') throw new Reject('EFAULT', 'verifier bug: backtracking misuse')
      // Without flags, and with one callback, the loop is compiled in line. The count decides when it ends.
      const flags = arg(4)
      const fits = flags.kind === 'scalar' && isConst(flags.value) && isZero(flags.value)
      if (fits) markPrecise(walk, 4)
      const before = walk.loopCalls.get(walk.insn) ?? index
      walk.loopCalls.set(walk.insn, fits && before === index ? index : -1)
      markPrecise(walk, 1)
      const { frame } = walk.state
      if (umaxOf(arg(1).value) > frame.callbackDepth) return pushSync(walk, index, [unknownReg(), arg(3)], [0, 1])
      frame.callbackDepth = 0
      if (walk.trace?.log.all === true) walk.say(`frame${frame.index} bpf_loop iteration limit reached`)
      return
    }
    case H.for_each_map_elem: {
      const [, key, value] = element(map as MapFacts, 0) as [Reg, Reg, Reg]
      return pushSync(walk, index, [arg(1), key, value, arg(3)], [0, 1])
    }
    case H.find_vma: {
      const vma = pointerReg('ptr_')
      vma.btfId = walk.facts.kernelBtf?.findByName('vm_area_struct', BtfKind.STRUCT) ?? unsupported('vm_area_struct')
      return pushSync(walk, index, [arg(1), vma, arg(4)], [0, 1])
    }
    case H.user_ringbuf_drain: {
      const sample = new Reg()
      sample.kind = 'dynptr_ptr'
      sample.id = walk.newId()
      sample.dynptr = { type: 'local', id: sample.id, first: true }
      return pushSync(walk, index, [sample, arg(3)], [0, 1])
    }
    case H.timer_set_callback:
      return pushAsync(walk, index, element(map as MapFacts, mapUid), [0, 0], false)
    default:
      return unsupported('this callback')
  }
}

/** Callback of a work queue or of work for a task: may sleep. */
export function callWork(walk: Walk, index: number, map: MapFacts, mapUid: number, anyResult: boolean): void {
  pushAsync(walk, index, element(map, mapUid), anyResult ? ANY32 : [0, 0], true)
}

/** The comparison of bpf_rbtree_add: two nodes of the tree, while its lock is held. */
export function callLess(walk: Walk, index: number, root: GraphRoot): void {
  pushSync(walk, index, [nonOwning(walk, nodeReg(root)), nonOwning(walk, nodeReg(root))], [0, 1])
}
