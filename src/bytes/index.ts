export { Reader, type ReaderOptions } from './reader.ts'
export { Writer } from './writer.ts'
export { fromHex, toHex } from './hex.ts'
export { decodeCString, decodeUtf8, encodeUtf8 } from './utf8.ts'
export {
  BpfError,
  formatError,
  isBpfError,
  within,
  type BpfErrorCode,
  type BpfErrorOptions,
  type BpfErrorWhere,
} from '../errors.ts'
