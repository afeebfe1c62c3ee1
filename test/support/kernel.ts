/** Why kernel tests cannot run on this machine, or null when they can. Needs Linux, root (or CAP_BPF) and the addon. */
export async function kernelUnavailable(): Promise<string | null> {
  if (typeof process === 'undefined' || process.platform !== 'linux') return 'not Linux'
  const { kernelStatus } = await import('../../src/kernel/index.ts')
  const status = kernelStatus()
  return status.ok ? null : status.reasons.join('; ')
}

/**
 * True when kernel tests should run. Prints why not, once a file; with REQUIRE_KERNEL=1 a missing kernel is an error.
 * Use as `describe.runIf(await kernelTestsRun())`.
 */
export async function kernelTestsRun(): Promise<boolean> {
  const reason = await kernelUnavailable()
  if (reason === null) return true
  if (process.env['REQUIRE_KERNEL'] === '1')
    throw new Error(`REQUIRE_KERNEL=1, but the kernel cannot be used: ${reason}`)
  console.warn(`kernel tests are skipped: ${reason}`)
  return false
}
