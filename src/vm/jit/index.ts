export { hostCompiles, jit, jitWith, quickJit, translate } from './engine.ts'
