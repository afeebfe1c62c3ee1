import type { AttachedVm, SharedVm } from './shared.ts'

export type { AttachedVm, SharedVm } from './shared.ts'

/**
 * Opens, in a worker thread (of Node or of a browser), the CPU of a shared vm that `vm.fork()` gave. It has the maps and
 * programs that the vm had then; programs run on its own CPU, side by side with those of other threads. The vm's code is
 * loaded here for this CPU: import nothing else of elfbee in the thread before, and attach one vm.
 * @throws BpfError `usage` when the vm's code was loaded before
 */
export async function attachWorker(shared: SharedVm): Promise<AttachedVm> {
  // The key of area.ts, which must not be loaded before this is set.
  const key = Symbol.for('elfbee.vm.area')
  const all = globalThis as { [key: symbol]: unknown }
  all[key] ??= shared.area
  const { openShared } = await import('./shared.ts')
  return openShared(shared)
}
