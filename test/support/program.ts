import { InsnBuffer, encode, type Operation } from '../../src/isa/index.ts'
import {
  bareProgram,
  mapSpec as defaultMapSpec,
  type LateReference,
  type MapSpec,
  type PreparedProgram,
} from '../../src/loader/index.ts'

/** Instructions from operations; slots are counted as the operations lie. */
export function assemble(operations: readonly Operation[]): InsnBuffer {
  const slots = operations.reduce((sum, op) => sum + (op.kind === 'loadImm64' ? 2 : 1), 0)
  const insns = new InsnBuffer(slots)
  let at = 0
  for (const op of operations) at += encode(op, insns, at)
  return insns
}

/** Short names for the operations that tests need. */
export const op = {
  mov: (dst: number, imm: number): Operation => ({ kind: 'alu', op: 'mov', wide: true, dst, src: null, imm }),
  movReg: (dst: number, src: number): Operation => ({ kind: 'alu', op: 'mov', wide: true, dst, src, imm: 0 }),
  add: (dst: number, imm: number): Operation => ({ kind: 'alu', op: 'add', wide: true, dst, src: null, imm }),
  store: (size: 1 | 2 | 4 | 8, dst: number, off: number, imm: number): Operation => ({
    kind: 'store',
    size,
    dst,
    off,
    src: null,
    imm,
  }),
  load: (size: 1 | 2 | 4 | 8, dst: number, src: number, off: number): Operation => ({
    kind: 'load',
    size,
    signed: false,
    dst,
    src,
    off,
  }),
  /** Place holder of a map's descriptor: name the map in `maps` of program(). */
  map: (dst: number): Operation => ({ kind: 'loadImm64', dst, pseudo: 1, low: 0, high: 0 }),
  number: (dst: number, low: number, high: number): Operation => ({
    kind: 'loadImm64',
    dst,
    pseudo: 0,
    low,
    high,
  }),
  helper: (imm: number): Operation => ({ kind: 'call', call: 'helper', imm, off: 0 }),
  exit: { kind: 'exit' } as Operation,
}

/** A prepared program of one function; `maps` names the map of each op.map(), in order. */
export function program(
  name: string,
  type: number,
  operations: readonly Operation[],
  maps: readonly string[] = [],
): PreparedProgram {
  const insns = assemble(operations)
  const lateReferences: LateReference[] = []
  let at = 0
  for (const operation of operations) {
    if (operation.kind === 'loadImm64' && operation.pseudo === 1) {
      lateReferences.push({ kind: 'map', insn: at, map: maps[lateReferences.length] ?? '' })
    }
    at += operation.kind === 'loadImm64' ? 2 : 1
  }
  return bareProgram(insns, { name, type }, { lateReferences })
}

/** A map description without BTF. */
export function mapSpec(
  type: number,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  more: Partial<MapSpec> = {},
): MapSpec {
  return defaultMapSpec({ name: 'test_map', type, keySize, valueSize, maxEntries, ...more })
}

/** A little-endian number of 4 (or 8) bytes. */
export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

export function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, value, true)
  return bytes
}

export function readU32(bytes: Uint8Array | null, offset: number = 0): number | null {
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset, true)
}

export function readU64(bytes: Uint8Array | null, offset: number = 0): bigint | null {
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(offset, true)
}
