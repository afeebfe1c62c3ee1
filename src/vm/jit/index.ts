export { hostCompiles, jit, quickJit, translate } from './engine.ts'
