export { open, openBackend, type OpenFileOptions } from './open.ts'
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
