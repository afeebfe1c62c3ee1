export {
  verify,
  type Capability,
  type VerifyOptions,
  type VerifyTarget,
  type VerifyResult,
  type VerifyStats,
} from './verify.ts'
export { AccessKind, type WalkFacts } from './accesses.ts'
export { type RejectErrno } from './reject.ts'
export type { FrameView, RangeView, RegisterView, SlotView, StateView } from './log/view.ts'
export { NO_INDIRECT_JUMPS } from './program/layout.ts'
