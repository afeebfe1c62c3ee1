/** Whether this machine is little-endian, as typed arrays read memory in its order. */
export const LITTLE_ENDIAN_HOST: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/**
 * The same bytes in every width. Typed arrays only reach multiples of their element's size, but read several times
 * faster than a DataView (above all bigints), as the engine knows what they hold.
 */
export class Chunk {
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Whether offset 0 lies on a multiple of 8; the arrays below are empty otherwise. */
  readonly aligned: boolean
  readonly i8: Int8Array
  readonly u16: Uint16Array
  readonly i16: Int16Array
  readonly u32: Uint32Array
  readonly i32: Int32Array
  readonly u64: BigUint64Array
  readonly i64: BigInt64Array

  constructor(bytes: Uint8Array) {
    const { buffer, byteOffset, byteLength } = bytes
    this.bytes = bytes
    this.view = new DataView(buffer, byteOffset, byteLength)
    this.aligned = byteOffset % 8 === 0
    const length = this.aligned ? byteLength : 0
    const start = this.aligned ? byteOffset : 0
    this.i8 = new Int8Array(buffer, start, length)
    this.u16 = new Uint16Array(buffer, start, length >>> 1)
    this.i16 = new Int16Array(buffer, start, length >>> 1)
    this.u32 = new Uint32Array(buffer, start, length >>> 2)
    this.i32 = new Int32Array(buffer, start, length >>> 2)
    this.u64 = new BigUint64Array(buffer, start, length >>> 3)
    this.i64 = new BigInt64Array(buffer, start, length >>> 3)
  }
}
