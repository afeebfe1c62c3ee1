import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, encode, InsnBuffer, OPCODES } from '../../src/isa/index.ts'
import { isBpfError, toHex } from '../../src/bytes/index.ts'
import { thrown } from '../support/thrown.ts'
import { forms, slot, values } from './arbitrary.ts'

/** Bytes as columns, without any check. */
function raw(hex: string): InsnBuffer {
  return InsnBuffer.fromBytes(Uint8Array.from(hex.match(/../g) ?? [], (b) => parseInt(b, 16)))
}

describe('instruction table', () => {
  test('has the opcodes of RFC 9669 and of the kernel', () => {
    // 25 ALU operations in two widths (neg once each), 3 byte swaps, 22 + 22 branches, 5 other jumps and two calls,
    // 1 + 3 + 3 loads from LD, 7 LDX, 4 ST, 4 STX, 4 atomic opcodes.
    const count = (cls: string): number => OPCODES.filter((row) => row?.class === cls).length
    expect(count('alu')).toBe(27)
    expect(count('alu64')).toBe(26)
    expect(count('jmp')).toBe(22 + 6)
    expect(count('jmp32')).toBe(22 + 1)
    expect(count('ld')).toBe(7)
    expect(count('ldx')).toBe(7)
    expect(count('st')).toBe(4)
    expect(count('stx')).toBe(8)
  })

  test('every mnemonic is unique but for the operand kinds of one operation', () => {
    const seen = new Map<string, Set<number>>()
    for (const { row, form } of forms) {
      const opcodes = seen.get(form.mnemonic) ?? new Set()
      opcodes.add(row.code & ~8)
      seen.set(form.mnemonic, opcodes)
    }
    for (const [mnemonic, opcodes] of seen) expect(opcodes.size, mnemonic).toBe(1)
  })
})

describe('decode and encode', () => {
  test('decode then encode gives the same bytes for every form', () => {
    fc.assert(
      fc.property(fc.constantFrom(...forms), values, (form, v) => {
        const before = slot(form, v)
        const after = new InsnBuffer(2)
        const op = decode(before, 0)
        encode(op, after, 0)
        expect(toHex(after.toBytes())).toBe(toHex(before.toBytes()))
        expect(decode(after, 0)).toEqual(op)
      }),
      { numRuns: 5000 },
    )
  })

  test('any eight bytes decode or give a BpfError with the instruction index', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const insns = InsnBuffer.fromBytes(bytes)
        try {
          decode(insns, 1)
        } catch (error) {
          if (!isBpfError(error)) throw error
          expect(error.code).toBe('malformed')
          expect(error.where.insn).toBe(1)
        }
      }),
      { numRuns: 20_000 },
    )
  })

  test('every reserved field of every form is refused by name', () => {
    for (const entry of forms) {
      for (const field of entry.form.reserved) {
        const insns = slot(entry, { dst: 1, src: 2, off: 8, imm: 1, high: 0 })
        insns[field][0] = 1
        const error = thrown(() => decode(insns, 0))
        expect(error.message, entry.form.mnemonic).toContain(`reserved field ${field} is 1, expected 0`)
      }
    }
  })

  test('says what a wrong instruction has and what was expected', () => {
    const message = (hex: string): string => thrown(() => decode(raw(hex), 0)).message
    expect(message('ff00000000000000')).toBe('unknown opcode 0xff')
    expect(message('071b000000000000')).toBe('opcode 0x07 (add64): reserved field src is 1, expected 0')
    expect(message('070b000000000000')).toBe('opcode 0x07 (add64): dst is r11, expected r0 to r10')
    expect(message('bf21400000000000')).toBe(
      'opcode 0xbf: off is 64, expected one of 0 (mov64), 8 (movsx8_64), 16 (movsx16_64), 32 (movsx32_64), 1 (addr_space_cast)',
    )
    expect(message('d40100000c000000')).toBe('byte swap of 12 bits, expected 16, 32 or 64')
    expect(message('1801000000000000')).toBe('64-bit immediate without a second slot')
    expect(message('18010000000000000000010000000000')).toContain('reserved field off is 1')
    expect(message('18910000000000000000000000000000')).toBe('64-bit immediate with pseudo source 9, expected 0 to 6')
    expect(message('8530000000000000')).toContain('src is 3, expected one of 0 (call), 1 (call_local), 2 (call_kfunc)')
    expect(message('db21000002000000')).toContain('imm is 2, expected one of 0 (atomic_add64)')
  })

  test('a distance that does not fit is refused', () => {
    const insns = new InsnBuffer(1)
    const branch = { kind: 'branch', op: 'eq', wide: true, dst: 1, src: null, imm: 0 } as const
    expect(thrown(() => encode({ ...branch, target: 0x8001 }, insns, 0)).message).toBe(
      'jump of 32768 slots to 32769 does not fit 16 bits',
    )
    encode({ kind: 'jump', target: 0x8001 }, insns, 0)
    expect(decode(insns, 0)).toEqual({ kind: 'jump', target: 0x8001, long: true })
    expect(thrown(() => encode({ kind: 'exit' }, insns, 1)).code).toBe('limit')
  })
})
