export { verify, type VerifyOptions, type VerifyTarget, type VerifyResult, type VerifyStats } from './verify.ts'
export { type RejectErrno } from './reject.ts'
