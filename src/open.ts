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
  if (name !== 'vm' && process.platform === 'linux') {
    const { kernelStatus, openKernelBackend } = await import('./kernel/index.ts')
    if (name === 'kernel' || kernelStatus().ok) return openKernelBackend(btf === undefined ? {} : { btf })
  } else if (name === 'kernel') {
    throw new BpfError('unsupported', `the kernel cannot be used: this is ${process.platform}, not Linux`)
  }
  const { createVm } = await import('./vm/index.ts')
  if (btf !== undefined || process.platform !== 'linux') return createVm({ btf: btf ?? null })
  const { vmlinuxBtf } = await import('./kernel/index.ts')
  return createVm({ btf: vmlinuxBtf })
}
