export { attachProgram } from './attach.ts'
export { KernelLink, LegacyLink } from './link.ts'
export { KernelIteratorLink } from './tracing.ts'
export { findBinary, UserBinary, type BinaryFunction } from './binary.ts'
