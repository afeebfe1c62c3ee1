export { BpfError, formatError, isBpfError } from './errors.ts'
