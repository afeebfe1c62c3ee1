export { kernelStatus, type KernelStatus } from './status.ts'
export { KernelBackend, openKernelBackend, type KernelBackendOptions } from './backend.ts'
export { KernelMap, type MapShape } from './map.ts'
export type { MapBatch } from '../loader/index.ts'
export { KernelProgram } from './program.ts'
export {
  attachProgram,
  findBinary,
  KernelIteratorLink,
  KernelLink,
  LegacyLink,
  UserBinary,
  type BinaryFunction,
} from './links/index.ts'
export { moduleBtf, readKernelBtf, vmlinuxBtf } from './kernel-btf.ts'
export { btfFeatures } from './btf-features.ts'
export { sanitizeBtf, type BtfFeatures } from './sanitize-btf.ts'
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
export {
  hasFeature,
  KERNEL_FEATURES,
  probeHelper,
  probeIsa,
  probeMapFlag,
  probeMapType,
  probeProgType,
  type IsaFeature,
  type KernelFeature,
  type KernelFeatureInfo,
} from './features/index.ts'
