export { jit, translate } from './engine.ts'
