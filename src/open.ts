import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { BpfError } from './bytes/index.ts'
import type { Btf } from './btf/index.ts'
import { openObject, type Backend, type ObjectSpec, type OpenOptions } from './loader/index.ts'

/** Options of {@link open}. */
export interface OpenFileOptions extends Omit<OpenOptions, 'backends'> {
  /**
   * BTF that CO-RE relocates against in load(), in the kernel and in the vm. Default: that of the running kernel; the vm
   * does without where there is none.
   */
  readonly btf?: Btf
}

/**
 * Opens a BPF object: a path, a `file:` URL, or the bytes themselves. Nothing is loaded yet: see the result's load(),
 * which takes `backend: 'kernel' | 'vm' | 'auto'`.
 * @throws BpfError when the object cannot be understood; the file system's error when it cannot be read
 */
export async function open(source: string | URL | Uint8Array, options: OpenFileOptions = {}): Promise<ObjectSpec> {
  const { btf, ...rest } = options
  const path = source instanceof URL ? fileURLToPath(source) : typeof source === 'string' ? source : undefined
  const bytes = source instanceof Uint8Array ? source : new Uint8Array(await readFile(path as string))
  const name = options.name ?? path
  return openObject(bytes, {
    ...rest,
    ...(name === undefined ? {} : { name }),
    backends: (which) => openBackend(which, btf),
  })
}

/**
 * Opens a backend by name. `auto` is the kernel where bpf(2) works, else the vm.
 * @throws BpfError `unsupported` for `kernel` where it cannot be used, with the reasons
 */
export async function openBackend(name: 'auto' | 'kernel' | 'vm', btf?: Btf): Promise<Backend> {
  if (name !== 'auto' && name !== 'kernel' && name !== 'vm') {
    throw new BpfError('usage', `there is no backend '${String(name)}': expected 'auto', 'kernel' or 'vm'`)
  }
  const problem = name === 'vm' ? null : await kernelProblem()
  if (name !== 'vm' && problem === null) {
    const { openKernelBackend } = await import('./kernel/index.ts')
    return openKernelBackend(btf === undefined ? {} : { btf })
  }
  if (name === 'kernel') throw new BpfError('unsupported', `the kernel cannot be used: ${problem}`)
  const { createVm } = await import('./vm/index.ts')
  const reason = problem === null ? {} : { reason: `the kernel cannot be used: ${problem}` }
  if (btf !== undefined || process.platform !== 'linux') return createVm({ btf: btf ?? null, ...reason })
  const { vmlinuxBtf } = await import('./kernel/index.ts')
  return createVm({ btf: vmlinuxBtf, ...reason })
}

/** Why the kernel cannot be used; null when it can. */
async function kernelProblem(): Promise<string | null> {
  if (process.platform !== 'linux') return `this is ${process.platform}, not Linux`
  const { kernelStatus } = await import('./kernel/index.ts')
  const { ok, reasons } = kernelStatus()
  return ok ? null : reasons.join('; ')
}
