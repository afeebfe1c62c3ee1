import { Errno, HelperId } from '../../../uapi/index.ts'
import { StructContext } from '../context/struct.ts'
import type { Runtime } from '../runtime.ts'
import type { Helper, HelperGroup } from './helper.ts'

/** struct bpf_perf_event_value. */
const VALUE_SIZE = 24
/** sizeof(struct perf_branch_entry). */
const BRANCH_SIZE = 24
/** BPF_F_GET_BRANCH_RECORDS_SIZE. */
const GET_SIZE = 1

function extra(rt: Runtime, name: string): unknown {
  const context = rt.run?.context
  return context instanceof StructContext ? context.extras.get(name) : undefined
}

const readValue: Helper = (rt, _ctx, _buffer, size) => {
  const buffer = rt.pointer(2, size, 'struct bpf_perf_event_value')
  rt.memory.fill(buffer, 0, size)
  if (size !== VALUE_SIZE) return -Errno.EINVAL
  for (const [i, name] of ['counter', 'enabled', 'running'].entries()) {
    const value = extra(rt, name)
    if (typeof value === 'number' || typeof value === 'bigint') rt.memory.setU64(buffer + i * 8, BigInt(value))
  }
  return 0
}

/** bpf_read_branch_records(ctx, buffer, size, flags): bytes copied, or the size of all records. */
const readBranches: Helper = (rt, _ctx, _buffer, size) => {
  const flags = rt.flags(4)
  if ((flags & ~GET_SIZE) !== 0) return -Errno.EINVAL
  const records = extra(rt, 'branches')
  if (!(records instanceof Uint8Array)) return -Errno.ENOENT
  if (flags === GET_SIZE) return records.length
  const buffer = rt.pointer(2, size, 'branch records')
  if (buffer === 0 || size % BRANCH_SIZE !== 0) return -Errno.EINVAL
  const kept = records.subarray(0, size)
  rt.memory.write(buffer, kept)
  return kept.length
}

/** Perf events. */
export const PERF_HELPERS: HelperGroup = {
  [HelperId.perf_prog_read_value]: readValue,
  [HelperId.read_branch_records]: readBranches,
  // No last branch records are kept, as on most machines.
  [HelperId.get_branch_snapshot]: () => -Errno.ENOENT,
}
