import fc from 'fast-check'
import { InsnBuffer, insnForms, type InsnForm, type OpcodeRow } from '../../src/isa/index.ts'

/** Every instruction form of the table. */
export const forms = [...insnForms()]

/** A slot of `form` with the given operand values and everything else zero. */
export function slot(
  { row, form }: { row: OpcodeRow; form: InsnForm },
  values: { dst: number; src: number; off: number; imm: number; high: number },
): InsnBuffer {
  const buffer = new InsnBuffer(2)
  buffer.code[0] = row.code
  for (const field of form.operands) buffer[field][0] = values[field]
  if (row.selector !== null) buffer[row.selector][0] = form.select
  const kind = form.semantics.kind
  if (kind === 'endian') buffer.imm[0] = [16, 32, 64][values.imm & 1] as number
  if (kind === 'addrSpaceCast') buffer.imm[0] = values.imm & 1 ? 1 : 0x10000
  if (kind === 'loadImm64') {
    buffer.src[0] = values.src % 7
    buffer.imm[1] = values.high
  }
  return buffer
}

/** Random operand values. */
export const values = fc.record({
  dst: fc.integer({ min: 0, max: 10 }),
  src: fc.integer({ min: 0, max: 10 }),
  off: fc.integer({ min: -0x8000, max: 0x7fff }),
  imm: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
  high: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
})
