import { CallPseudo, type InsnBuffer, LdImm64Pseudo } from '../../../isa/index.ts'
import { HelperId as H, Limit, ProgType } from '../../../uapi/index.ts'
import { invalid, Reject } from '../reject.ts'
import { successors, type CallMarks } from './flow.ts'
import type { Operations } from './layout.ts'

/**
 * What those without CAP_BPF may load where kernel.unprivileged_bpf_disabled is 0: filters of sockets and of control
 * groups, small, without functions and without loops.
 */

const TYPES: ReadonlySet<number> = new Set([ProgType.SOCKET_FILTER, ProgType.CGROUP_SKB])
const CALL = 0x85
const LD_IMM64 = 0x18

/** Checks before the program is decoded. */
export function checkUnprivileged(type: number, insns: InsnBuffer): void {
  if (insns.length > Limit.INSNS_UNPRIVILEGED) {
    throw new Reject('E2BIG', `programs of over ${Limit.INSNS_UNPRIVILEGED} instructions need CAP_BPF`)
  }
  if (!TYPES.has(type)) throw new Reject('EPERM', 'programs of this type need CAP_BPF')
  for (let i = 0; i < insns.length; i++) {
    const pseudo = insns.src[i]
    const isCall = insns.code[i] === CALL && (pseudo === CallPseudo.LOCAL || pseudo === CallPseudo.KFUNC)
    if (!isCall && !(insns.code[i] === LD_IMM64 && pseudo === LdImm64Pseudo.FUNC)) continue
    const words = 'loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN'
    throw new Reject('EPERM', words)
  }
}

/** No way may lead back. The first one found is the kernel's: it goes straight on first. */
export function checkNoBackEdges(ops: Operations, calls: CallMarks): void {
  const UNSEEN = 0
  const OPEN = 1
  const DONE = 2
  const marks = new Uint8Array(ops.length)
  const path = [0]
  marks[0] = OPEN
  while (path.length > 0) {
    const at = path[path.length - 1] as number
    const next = ops[at] ? successors(ops, at, calls) : []
    const open = next.find((to) => {
      if (marks[to] === OPEN) invalid(`back-edge from insn ${at} to ${to}`)
      return marks[to] === UNSEEN
    })
    if (open === undefined) {
      marks[at] = DONE
      path.pop()
    } else {
      marks[open] = OPEN
      path.push(open)
    }
  }
}

/** Helpers that all program types share, for those with CAP_BPF. */
export const NEED_BPF: ReadonlySet<number> = new Set([
  H.spin_lock,
  H.spin_unlock,
  H.jiffies64,
  H.per_cpu_ptr,
  H.this_cpu_ptr,
  H.timer_init,
  H.timer_set_callback,
  H.timer_start,
  H.timer_cancel,
  H.kptr_xchg,
  H.for_each_map_elem,
  H.loop,
  H.user_ringbuf_drain,
  H.ringbuf_reserve_dynptr,
  H.ringbuf_submit_dynptr,
  H.ringbuf_discard_dynptr,
  H.dynptr_from_mem,
  H.dynptr_read,
  H.dynptr_write,
  H.dynptr_data,
  H.cgrp_storage_get,
  H.cgrp_storage_delete,
  H.get_current_cgroup_id,
  H.get_current_ancestor_cgroup_id,
  H.current_task_under_cgroup,
  H.get_cgroup_classid,
  H.task_storage_get,
  H.task_storage_delete,
])
