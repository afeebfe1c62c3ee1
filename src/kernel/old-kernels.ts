import type { InsnBuffer } from '../isa/index.ts'
import { HelperId } from '../uapi/index.ts'
import { hasFeature } from './features/index.ts'
import { native } from './syscall.ts'

/** Code of a call, which is of a helper when its source is 0. */
const CALL = 0x85
/** Helpers of Linux 5.5 and what programs called before (the kernel then guessed whose memory it was). */
const BEFORE: ReadonlyMap<number, number> = new Map([
  [HelperId.probe_read_kernel, HelperId.probe_read],
  [HelperId.probe_read_user, HelperId.probe_read],
  [HelperId.probe_read_kernel_str, HelperId.probe_read_str],
  [HelperId.probe_read_user_str, HelperId.probe_read_str],
])

/**
 * Puts bpf_probe_read() in the place of helpers that the kernel does not have, as libbpf does.
 * @param supported whether it has them; asked only when there are such calls
 */
export function useOldHelpers(insns: InsnBuffer, supported: () => boolean = () => hasFeature('probeReadKernel')): void {
  let known: boolean | null = null
  for (let i = 0; i < insns.length; i++) {
    const before = insns.code[i] === CALL && insns.src[i] === 0 ? BEFORE.get(insns.imm[i] as number) : undefined
    if (before === undefined) continue
    known ??= supported()
    if (known) return
    insns.imm[i] = before
  }
}

let raised = false

/** Takes the limit off locked memory, once in a process, on kernels that charge maps and programs to it (before 5.11). */
export function raiseMemlock(): void {
  if (raised) return
  raised = true
  // Without the right to raise it the first map that does not fit says so.
  if (!hasFeature('memcgAccount')) native().unlimitMemlock()
}
