import { BpfError } from './bytes/index.ts'
import type { Btf } from './btf/index.ts'
import { openObject, type Backend, type ObjectSpec, type OpenOptions } from './loader/index.ts'

/** Options of {@link open}. */
export interface OpenFileOptions extends Omit<OpenOptions, 'backends'> {
  /** BTF of the kernel that CO-RE relocates against in load(); none by default. */
  readonly btf?: Btf
}

/**
 * Opens a BPF object from its bytes; a browser has no files. The same as in Node, but the only backend is the vm.
 * @throws BpfError when the object cannot be understood
 */
export async function open(bytes: Uint8Array, options: OpenFileOptions = {}): Promise<ObjectSpec> {
  const { btf, ...rest } = options
  return openObject(bytes, { ...rest, backends: (name) => openBackend(name, btf) })
}

/** Opens a backend by name: `auto` and `vm` are the vm. @throws BpfError `unsupported` for `kernel` */
export async function openBackend(name: 'auto' | 'kernel' | 'vm', btf?: Btf): Promise<Backend> {
  if (name === 'kernel') throw new BpfError('unsupported', 'the kernel cannot be used from a browser')
  const { createVm } = await import('./vm/index.ts')
  return createVm(btf === undefined ? {} : { btf })
}

export {
  cloneSpec,
  generateSkeleton,
  linkObjects,
  load,
  LoadedMap,
  LoadedObject,
  LoadedProgram,
  LoadedVariable,
  minCoreBtf,
  ObjectSpec,
  openObject,
  prepare,
  readCoreObject,
} from './loader/index.ts'
export type * from './loader/index.ts'
export { BpfError, formatError, isBpfError } from './errors.ts'
export type { BpfErrorCode, BpfErrorOptions, BpfErrorWhere } from './errors.ts'
