export { kernelStatus, type KernelStatus } from './status.ts'
export { KernelBackend, openKernelBackend, type KernelBackendOptions } from './backend.ts'
export { KernelMap, type MapBatch, type MapShape } from './map.ts'
export { KernelProgram } from './program.ts'
export { moduleBtf, readKernelBtf, vmlinuxBtf } from './kernel-btf.ts'
export { onlineCpus, possibleCpus } from './cpus.ts'
export { summariseLog, type LogSummary } from './log.ts'
export {
  btfBytes,
  btfInfo,
  getPinned,
  linkInfo,
  mapInfo,
  objectIds,
  openById,
  pinObject,
  progFunctionType,
  progInfo,
  progXlated,
  type BtfInfo,
  type LinkInfo,
  type MapInfo,
  type ObjectKind,
  type ProgInfo,
} from './objects.ts'
export { Attr, type AttrFields, type AttrPart, type AttrValue } from './attr.ts'
export { bpf, closeFd, tryBpf } from './syscall.ts'
export { loadBinding, type BindingResult, type NativeBinding, type NativePoller, type Pointer } from './binding.ts'
