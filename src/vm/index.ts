export type * from './engine.ts'
export { FRAME_SIZE, GUARD_SIZE, REGS_ADDRESS } from './engine.ts'
