import { AttachType, Errno, HelperId } from '../../../uapi/index.ts'
import { RawContext } from '../context/raw.ts'
import type { Runtime } from '../runtime.ts'
import type { HelperGroup } from './helper.ts'

/** Attach types whose context has the return value behind the arguments. */
const WITH_RESULT: ReadonlySet<number> = new Set<number>([AttachType.TRACE_FEXIT, AttachType.MODIFY_RETURN])

function hasResult(rt: Runtime): boolean {
  return WITH_RESULT.has(rt.run?.programs[0]?.attachType ?? -1)
}

/** Arguments of the traced function: the u64 words of the context, but for the return value. */
function argumentCount(rt: Runtime): number {
  const context = rt.run?.context
  const words = context instanceof RawContext ? Math.floor(context.size / 8) : 0
  return Math.max(0, hasResult(rt) ? words - 1 : words)
}

/** What programs ask about the function that they are attached to. */
export const TRAMPOLINE_HELPERS: HelperGroup = {
  [HelperId.get_func_arg]: (rt, ctx, n) => {
    const to = rt.pointer(3, 8, 'a value')
    if (rt.high(2) !== 0 || n >= argumentCount(rt)) return -Errno.EINVAL
    rt.memory.copy(to, ctx + n * 8, 8)
    return 0
  },
  [HelperId.get_func_ret]: (rt, ctx) => {
    const to = rt.pointer(2, 8, 'a value')
    if (!hasResult(rt)) return -Errno.EOPNOTSUPP
    rt.memory.copy(to, ctx + argumentCount(rt) * 8, 8)
    return 0
  },
  [HelperId.get_func_arg_cnt]: (rt) => argumentCount(rt),
}
