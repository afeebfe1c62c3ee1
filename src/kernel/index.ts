export { kernelStatus, type KernelStatus } from './status.ts'
export { loadBinding, type BindingResult, type NativeBinding, type NativePoller, type Pointer } from './binding.ts'
