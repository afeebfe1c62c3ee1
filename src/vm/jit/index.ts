export { hostCompiles, jit, translate } from './engine.ts'
