import type { HelperCall } from '../../isa/index.ts'
import { HelperId } from '../../uapi/index.ts'
import {
  GUARD_SIZE,
  RANDOM_ADDRESS,
  TASK_ADDRESS,
  TASK_COMM_ADDRESS,
  TASK_COMM_SIZE,
  TASK_IDS_ADDRESS,
} from '../engine.ts'
import type { FunctionContext } from './context.ts'
import { LOCK_FUNCTION, lockBody, unlockBody } from './lock-code.ts'
import { CSUM_FUNCTION, csumDiffBody } from './csum-code.ts'
import { FastPath, lowOf, setResult } from './fast-path.ts'
import { cpu } from './hash-code.ts'
import { emitMapHelper } from './maps.ts'
import { CodeSink, Op, ValueType, w, type Code, type FunctionType } from './wasm/index.ts'

/**
 * Writes a helper call without leaving wasm, when that can be done; `callHelper` writes the call for what turns out to
 * be no such case when it runs. False: nothing was written.
 */
export function emitInlineHelper(ctx: FunctionContext, op: HelperCall, at: number, callHelper: () => void): boolean {
  const { module } = ctx
  const fast = new FastPath(ctx, callHelper)
  switch (op.imm) {
    case HelperId.get_smp_processor_id:
      return setResult(ctx, w.extend(cpu))
    case HelperId.get_numa_node_id:
      return setResult(ctx, w.i64(0))
    case HelperId.ktime_get_ns:
    case HelperId.ktime_get_boot_ns:
    case HelperId.ktime_get_tai_ns:
      if (module.clock === -1) return false
      return setResult(ctx, (code) => {
        code.call(module.clock)
        code.op(Op.i64_trunc_f64_u)
      })
    case HelperId.get_prandom_u32:
      if (!module.hasRandom) return false
      return setResult(ctx, w.extend(w.call(module.function('random', RANDOM_FUNCTION, randomBody))))
    case HelperId.get_current_pid_tgid:
      return setResult(ctx, w.load64(w.i32(0), TASK_IDS_ADDRESS))
    case HelperId.get_current_uid_gid:
      return setResult(ctx, w.load64(w.i32(0), TASK_IDS_ADDRESS + 8))
    case HelperId.get_current_task:
    case HelperId.get_current_task_btf:
      return fast.emit([], [w.not(w.load(w.i32(0), TASK_ADDRESS))], w.load(w.i32(0), TASK_ADDRESS), 'number')
    case HelperId.get_current_comm:
      return emitComm(ctx, fast)
    case HelperId.spin_lock:
      return emitLock(ctx, fast, 1)
    case HelperId.spin_unlock:
      return emitLock(ctx, fast, 0)
    case HelperId.csum_diff:
      return emitCsumDiff(ctx, fast)
    default:
      return emitMapHelper(ctx, op, at, fast)
  }
}

const RANDOM_FUNCTION: FunctionType = { params: [], results: [ValueType.I32] }

/** Runtime.random(). */
function randomBody(): CodeSink {
  const code = new CodeSink(0)
  const state = code.addLocal(ValueType.I32)
  const mix = (shifted: Code): Code => w.set(state, w.xor(w.get(state), shifted))
  w.all(
    w.set(state, w.load(w.i32(0), RANDOM_ADDRESS)),
    mix(w.shl(w.get(state), w.i32(13))),
    mix(w.shr(w.get(state), w.i32(17))),
    mix(w.shl(w.get(state), w.i32(5))),
    w.store(w.i32(0), w.get(state), RANDOM_ADDRESS),
    w.get(state),
  )(code)
  return code
}

/** bpf_get_current_comm to a buffer that takes all of the name. */
function emitComm(ctx: FunctionContext, fast: FastPath): boolean {
  if (ctx.values.constantAddress(2) !== TASK_COMM_SIZE) return false
  const copied = w.copy(lowOf(ctx, 1), w.i32(TASK_COMM_ADDRESS), TASK_COMM_SIZE)
  return fast.emit([[1, TASK_COMM_SIZE]], [], w.all(copied, w.i32(0)), 'number')
}

/** bpf_spin_lock (1) and bpf_spin_unlock (0): where nobody else runs, a lock that is held is an error of the program. */
function emitLock(ctx: FunctionContext, fast: FastPath, state: 0 | 1): boolean {
  const lock = lowOf(ctx, 1)
  if (ctx.module.isShared) {
    const [name, body] = state === 1 ? ['lock', lockBody] : ['unlock', unlockBody]
    return fast.emit([[1, 4]], [], w.call(ctx.module.function(name, LOCK_FUNCTION, body), lock), 'errno')
  }
  const conditions = state === 1 ? [w.load(lock)] : []
  return fast.emit([[1, 4]], conditions, w.all(w.store(lock, w.i32(state)), w.i32(0)), 'number')
}

/** bpf_csum_diff of sizes that are known. */
function emitCsumDiff(ctx: FunctionContext, fast: FastPath): boolean {
  const fromSize = ctx.values.constantAddress(2)
  const toSize = ctx.values.constantAddress(4)
  if (fromSize === null || toSize === null || fromSize > GUARD_SIZE || toSize > GUARD_SIZE) return false
  const diff = ctx.module.function('csum_diff', CSUM_FUNCTION, csumDiffBody)
  const call = w.call(diff, ...[1, 2, 3, 4, 5].map((register) => lowOf(ctx, register)))
  return fast.emit(
    [
      [1, fromSize],
      [3, toSize],
    ],
    [],
    call,
    'address',
  )
}

/** Helpers that read memory through registers here. */
export const INLINE_MEMORY_HELPERS: ReadonlySet<number> = new Set<number>([
  HelperId.map_lookup_elem,
  HelperId.map_update_elem,
  HelperId.map_delete_elem,
  HelperId.map_push_elem,
  HelperId.map_pop_elem,
  HelperId.map_peek_elem,
  HelperId.map_lookup_percpu_elem,
  HelperId.ringbuf_output,
  HelperId.get_current_comm,
  HelperId.spin_lock,
  HelperId.spin_unlock,
  HelperId.csum_diff,
])
