import { HelperId, helperName } from '../../../uapi/index.ts'

/** Helpers that the vm leaves out, and why. Option `helpers` of createVm() can supply them. */
const REASONS: Readonly<Record<number, string>> = {
  [HelperId.sys_bpf]: 'the vm has no bpf(2) system call: make maps and programs through the API',
  [HelperId.sys_close]: 'programs in the vm have no file descriptors of their own',
  [HelperId.lwt_seg6_store_bytes]: 'the vm has no IPv6 segment routing',
  [HelperId.lwt_seg6_adjust_srh]: 'the vm has no IPv6 segment routing',
  [HelperId.lwt_seg6_action]: 'the vm has no IPv6 segment routing',
}

/** Names of the helpers that are left out, with the reason. */
export function unsupportedHelpers(): ReadonlyMap<string, string> {
  return new Map(Object.entries(REASONS).map(([id, reason]) => [`bpf_${helperName(Number(id))}`, reason]))
}

/** What a program that calls a helper which is not there is refused with. */
export function whyNoHelper(id: number): string {
  const name = helperName(id)
  if (name === undefined) return `there is no helper #${id}`
  const reason = REASONS[id]
  return `the vm has no helper bpf_${name}${reason === undefined ? '' : ` (${reason})`}; option helpers of createVm() can supply it`
}
