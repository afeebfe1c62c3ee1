import { unsupported } from '../reject.ts'
import type { Walk } from '../walk.ts'
import { clobberCallerSaved } from './resources.ts'
import { NOT_INIT } from '../state/register.ts'
import { invalid } from '../reject.ts'

/** A call of a kernel function. */
export function stepKfuncCall(walk: Walk): boolean {
  const kfunc = walk.facts.kfuncs.get(walk.insn)
  if (kfunc === undefined) return unsupported('this kernel function')
  const { state } = walk
  switch (kfunc.name) {
    case 'bpf_rcu_read_lock':
      state.rcu++
      break
    case 'bpf_rcu_read_unlock':
      if (state.rcu === 0) invalid(`unmatched rcu read unlock (kernel function ${kfunc.name})`)
      if (state.rcu === 1) unsupported('pointers after bpf_rcu_read_unlock')
      state.rcu--
      break
    case 'bpf_preempt_disable':
      state.preempt++
      break
    case 'bpf_preempt_enable':
      if (state.preempt === 0) invalid(`unmatched attempt to enable preemption (kernel function ${kfunc.name})`)
      state.preempt--
      break
    default:
      return unsupported(`the kernel function ${kfunc.name}`)
  }
  clobberCallerSaved(walk)
  walk.set(0, NOT_INIT)
  return false
}
