export type * from './engine.ts'
export { FRAME_SIZE, GUARD_SIZE, REGS_ADDRESS } from './engine.ts'
export { createVm, type Vm, type VmOptions } from './vm.ts'
export type { AttachedVm, SharedVm } from './shared.ts'
export { VmProgram } from './program.ts'
export { VmMap } from './runtime/maps/map.ts'
export type { CgroupOptions, VirtualCgroup } from './runtime/kernel/cgroup.ts'
export type { FileOptions, VirtualFile } from './runtime/kernel/file.ts'
export type { Endpoint, SocketOptions, VirtualSocket } from './runtime/kernel/socket.ts'
export type { VirtualTask } from './runtime/kernel/task.ts'
export type { ProgramMemory, UserFunction, UserFunctions } from './runtime/user-functions.ts'
export { supportedMapTypes } from './runtime/maps/create.ts'
export { supportedHelpers } from './runtime/helpers/index.ts'
export { unsupportedHelpers } from './runtime/helpers/unsupported.ts'
export { type FakeTask } from './runtime/runtime.ts'
export {
  verify,
  type FrameView,
  type RangeView,
  type RegisterView,
  type SlotView,
  type StateView,
  type VerifyOptions,
  type VerifyResult,
  type VerifyStats,
} from './verifier/index.ts'
