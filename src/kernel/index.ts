/** Whether this process can use bpf(2), and if not, why. */
export interface KernelStatus {
  readonly ok: boolean
  readonly reasons: readonly string[]
}

/** Replaced by the kernel backend. */
export function kernelStatus(): KernelStatus {
  return { ok: false, reasons: ['the kernel backend is not part of this build'] }
}
