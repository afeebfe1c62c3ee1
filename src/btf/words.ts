import { HOST_IS_LITTLE_ENDIAN } from './layout.ts'

/** Bytes as 32-bit words of this machine; copied only when byte order or alignment leave no choice. */
export function wordsOf(bytes: Uint8Array, start: number, length: number, littleEndian: boolean): Uint32Array {
  const count = length >> 2
  const absolute = bytes.byteOffset + start
  if (littleEndian === HOST_IS_LITTLE_ENDIAN) {
    if (absolute % 4 === 0) return new Uint32Array(bytes.buffer, absolute, count)
    // Not bytes.slice(), which does not copy when the bytes are a Node Buffer.
    return new Uint32Array(Uint8Array.prototype.slice.call(bytes, start, start + length).buffer, 0, count)
  }
  const view = new DataView(bytes.buffer, absolute, length)
  const words = new Uint32Array(count)
  for (let i = 0; i < count; i++) words[i] = view.getUint32(i * 4, littleEndian)
  return words
}
