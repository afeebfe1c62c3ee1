import { HelperId } from '../../../uapi/index.ts'
import type { ProgramFacts } from '../walk.ts'

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
