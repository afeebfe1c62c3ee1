import { HelperId } from '../../../uapi/index.ts'
import type { ProgramFacts, Walk } from '../walk.ts'

/** Helpers that call a function of the program before they return. */
const SYNC: ReadonlySet<number> = new Set([
  HelperId.for_each_map_elem,
  HelperId.find_vma,
  HelperId.loop,
  HelperId.user_ringbuf_drain,
])

type CallFacts = Pick<ProgramFacts, 'ops' | 'kfuncs'>

export function helperOf(facts: CallFacts, at: number): number {
  const op = facts.ops[at]
  return op?.kind === 'call' && op.call === 'helper' ? op.imm : 0
}

export function kfuncOf(facts: CallFacts, at: number): string | null {
  return facts.kfuncs.get(at)?.name ?? null
}

/** Whether the call at a slot runs a callback of the program before it returns. */
export function isSyncCallbackCall(facts: CallFacts, at: number): boolean {
  return SYNC.has(helperOf(facts, at)) || kfuncOf(facts, at) === 'bpf_rbtree_add_impl'
}

export function isAsyncCallbackCall(facts: CallFacts, at: number): boolean {
  const kfunc = kfuncOf(facts, at)
  return (
    helperOf(facts, at) === HelperId.timer_set_callback ||
    kfunc === 'bpf_wq_set_callback_impl' ||
    kfunc === 'bpf_task_work_schedule_signal_impl' ||
    kfunc === 'bpf_task_work_schedule_resume_impl'
  )
}

export function isIterNextCall(facts: CallFacts, at: number): boolean {
  const name = kfuncOf(facts, at)
  return name !== null && /^bpf_iter_\w+_next$/.test(name)
}

export function isThrowCall(facts: CallFacts, at: number): boolean {
  return kfuncOf(facts, at) === 'bpf_throw'
}

/** Kernel functions on lists, trees and counted references. */
const GRAPH =
  /^bpf_(list_(push_(front|back)_impl|pop_front|pop_back|front|back)|rbtree_(add_impl|remove|first|root|left|right)|refcount_acquire_impl)$/

/** Whether a kernel function may be called while a lock is held. */
export function allowedUnderLock(name: string): boolean {
  return GRAPH.test(name) || name.startsWith('bpf_iter_num_') || name.startsWith('bpf_res_spin_')
}

/** Whether the walk is in the comparison of bpf_rbtree_add, or of something that it calls. */
export function inLess(walk: Walk): boolean {
  return walk.state.frames.some(
    (frame) => frame.inCallback && kfuncOf(walk.facts, frame.callsite)?.startsWith('bpf_rbtree_') === true,
  )
}
