import { BpfError, Reader } from '../bytes/index.ts'

/** Size of one instruction slot (struct bpf_insn, include/uapi/linux/bpf.h) in bytes. */
export const INSN_SIZE = 8

/**
 * Instructions as columns, one entry a slot of 8 bytes, in host form whatever the byte order of the object was.
 * A 64-bit immediate load (ld_imm64) takes two slots; the second has code 0. Loader, printers, interpreter and JIT
 * all share this form; the arrays are plain data and may be edited.
 */
export class InsnBuffer {
  readonly length: number
  /** Opcode byte. */
  readonly code: Uint8Array
  /** Destination register, 0 to 15 (above 10 is never valid). */
  readonly dst: Uint8Array
  /** Source register or pseudo source, 0 to 15. */
  readonly src: Uint8Array
  readonly off: Int16Array
  readonly imm: Int32Array

  constructor(length: number) {
    this.length = length
    this.code = new Uint8Array(length)
    this.dst = new Uint8Array(length)
    this.src = new Uint8Array(length)
    this.off = new Int16Array(length)
    this.imm = new Int32Array(length)
  }

  /**
   * Splits bytes into slots. Any opcode is accepted here; see decode() in table.ts for what it means.
   * @throws BpfError `malformed` when the length is no multiple of 8
   */
  static fromBytes(
    bytes: Uint8Array,
    options: { littleEndian?: boolean; name?: string; baseOffset?: number } = {},
  ): InsnBuffer {
    const name = options.name ?? 'instructions'
    if (bytes.length % INSN_SIZE !== 0) {
      throw new BpfError('malformed', `${name}: ${bytes.length} bytes are no multiple of the instruction size 8`, {
        where: { offset: options.baseOffset ?? 0 },
      })
    }
    const littleEndian = options.littleEndian ?? true
    const reader = new Reader(bytes, { name, littleEndian, baseOffset: options.baseOffset ?? 0 })
    const insns = new InsnBuffer(bytes.length / INSN_SIZE)
    for (let i = 0; i < insns.length; i++) {
      insns.code[i] = reader.u8()
      // The register nibbles are a C bit-field, so a big-endian compiler puts dst in the high half.
      const regs = reader.u8()
      insns.dst[i] = littleEndian ? regs & 15 : regs >> 4
      insns.src[i] = littleEndian ? regs >> 4 : regs & 15
      insns.off[i] = reader.s16()
      insns.imm[i] = reader.s32()
    }
    return insns
  }

  /** A copy of its own. */
  clone(): InsnBuffer {
    const copy = new InsnBuffer(this.length)
    for (const column of ['code', 'dst', 'src', 'off', 'imm'] as const) copy[column].set(this[column])
    return copy
  }

  /** The slots as bytes, by default in the byte order of the machines that elfbee loads on (little-endian). */
  toBytes(littleEndian: boolean = true): Uint8Array {
    const bytes = new Uint8Array(this.length * INSN_SIZE)
    const view = new DataView(bytes.buffer)
    for (let i = 0; i < this.length; i++) {
      const dst = this.dst[i] as number
      const src = this.src[i] as number
      view.setUint8(i * 8, this.code[i] as number)
      view.setUint8(i * 8 + 1, littleEndian ? dst | (src << 4) : src | (dst << 4))
      view.setInt16(i * 8 + 2, this.off[i] as number, littleEndian)
      view.setInt32(i * 8 + 4, this.imm[i] as number, littleEndian)
    }
    return bytes
  }

  /** A copy of slots `start` to `end` (exclusive). */
  slice(start: number = 0, end: number = this.length): InsnBuffer {
    const copy = new InsnBuffer(Math.max(0, end - start))
    copy.set(this, 0, start, end)
    return copy
  }

  /** Copies slots `start` to `end` of `from` to position `at`. */
  set(from: InsnBuffer, at: number, start: number = 0, end: number = from.length): void {
    this.code.set(from.code.subarray(start, end), at)
    this.dst.set(from.dst.subarray(start, end), at)
    this.src.set(from.src.subarray(start, end), at)
    this.off.set(from.off.subarray(start, end), at)
    this.imm.set(from.imm.subarray(start, end), at)
  }
}
