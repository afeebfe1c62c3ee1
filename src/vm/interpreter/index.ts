export { interpreterEngine } from './interpreter.ts'
