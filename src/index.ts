export { open, openBackend, type OpenFileOptions } from './open.ts'
export {
  load,
  LoadedMap,
  LoadedObject,
  LoadedProgram,
  LoadedVariable,
  ObjectSpec,
  openObject,
  prepare,
} from './loader/index.ts'
export type * from './loader/index.ts'
export { BpfError, formatError, isBpfError } from './errors.ts'
export type { BpfErrorCode, BpfErrorOptions, BpfErrorWhere } from './errors.ts'
