import {
  AttachType as A,
  D_PATH_ALLOWED,
  HelperId as H,
  type HelperRow,
  LSM_HOOKS,
  ProgType as P,
  STRUCT_OPS_HELPERS,
} from '../../../uapi/index.ts'
import type { AttachTarget } from '../program/target.ts'

/** What decides on helpers of programs with a target. */
interface Facts {
  readonly type: number
  readonly attachType: number
  readonly target: AttachTarget | null
}

const TRAMPOLINES: ReadonlySet<number> = new Set<number>([A.TRACE_FENTRY, A.TRACE_FEXIT, A.MODIFY_RETURN, A.LSM_MAC])

/** Whether a trampoline calls the program, so that it has a cookie and its arguments by number. */
export function hasTrampoline(facts: Facts): boolean {
  return (facts.type === P.TRACING || facts.type === P.LSM) && TRAMPOLINES.has(facts.attachType)
}

const ARGUMENT_HELPERS: ReadonlySet<number> = new Set([H.get_func_arg, H.get_func_arg_cnt, H.get_func_ret])
const SEQUENCES: ReadonlySet<number> = new Set([H.seq_printf, H.seq_write, H.seq_printf_btf])
const SOCKET_OPTIONS: ReadonlySet<number> = new Set([H.setsockopt, H.getsockopt])
const CONNECT: ReadonlySet<number> = new Set<number>([A.CGROUP_INET4_CONNECT, A.CGROUP_INET6_CONNECT])
const CGROUP_ONLY: ReadonlySet<number> = new Set([H.get_local_storage, H.get_retval, H.set_retval])
const LSM_ONLY: ReadonlySet<number> = new Set([H.ima_inode_hash, H.ima_file_hash])

/** Whether the target of a program has a helper that its type has in general. */
export function offeredByTarget(facts: Facts, row: HelperRow): boolean {
  const { type, attachType, target } = facts
  if (type === P.CGROUP_SOCKOPT && SOCKET_OPTIONS.has(row.id)) return attachType === A.CGROUP_SETSOCKOPT
  if (row.id === H.bind) return CONNECT.has(attachType)
  if (type !== P.TRACING && type !== P.LSM && type !== P.STRUCT_OPS && type !== P.SYSCALL) return true
  if (type === P.STRUCT_OPS) {
    if (!STRUCT_OPS_HELPERS.has(row.name)) return true
    const ops = target?.structOps
    if (ops === null || ops === undefined || !ops.row.helpers.includes(row.name)) return false
    return ops.row.without?.member !== ops.member || !ops.row.without.helpers.includes(row.name)
  }
  if (ARGUMENT_HELPERS.has(row.id)) return hasTrampoline(facts)
  if (SEQUENCES.has(row.id)) return type === P.TRACING && attachType === A.TRACE_ITER
  if (type !== P.LSM) return true
  if (CGROUP_ONLY.has(row.id)) {
    if (attachType !== A.LSM_CGROUP) return false
    return row.id === H.get_local_storage || target?.proto?.returnType !== 0
  }
  if (SOCKET_OPTIONS.has(row.id)) {
    return attachType === A.LSM_CGROUP && target?.hook !== null && LSM_HOOKS.sockopt.has(target?.hook ?? '')
  }
  return true
}

/** Whether a helper that its type has may be called at this target. */
export function allowedByTarget(facts: Facts, row: HelperRow): boolean {
  const { type, attachType, target } = facts
  if (type !== P.TRACING && type !== P.LSM && type !== P.SYSCALL) return true
  const hook = target?.hook ?? null
  if (LSM_ONLY.has(row.id)) return hook !== null && LSM_HOOKS.sleepable.has(hook)
  switch (row.id) {
    case H.d_path:
      if (type === P.TRACING && attachType === A.TRACE_ITER) return true
      return hook !== null ? LSM_HOOKS.sleepable.has(hook) : D_PATH_ALLOWED.has(target?.name ?? '')
    case H.sk_storage_get:
    case H.sk_storage_delete: {
      if (type === P.LSM) return true
      if (target === null || target.programType !== null) return false
      if (attachType === A.TRACE_ITER || attachType === A.TRACE_RAW_TP) return true
      const isEntry = attachType === A.TRACE_FENTRY || attachType === A.TRACE_FEXIT
      return isEntry && !target.name.startsWith('bpf_sk_storage')
    }
    default:
      return true
  }
}
