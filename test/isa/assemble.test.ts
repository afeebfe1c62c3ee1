import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assemble, bpftoolNames, InsnBuffer, kernelLines, printKernel, printLlvm } from '../../src/isa/index.ts'
import { isBpfError, toHex } from '../../src/bytes/index.ts'
import { thrown } from '../support/thrown.ts'
import { forms, slot, values } from './arbitrary.ts'

describe('assemble', () => {
  test('reads a program with labels', () => {
    const insns = assemble(`
      r6 = r1                      // keep the context
      r1 = 0x123456789abcdef ll
      r2 = *(u32 *)(r6 + 4)
    loop:
      r2 += -1
      if r2 s> 0 goto loop
      w3 = (s8)w2
      call bpf_ktime_get_ns
      call helper_fn
      lock *(u64 *)(r10 - 8) += r0
      exit
    helper_fn:
      r0 = 0
      exit
    `)
    expect(kernelLines(insns)).toEqual([
      '   0: (bf) r6 = r1',
      '   1: (18) r1 = 0x123456789abcdef',
      '   3: (61) r2 = *(u32 *)(r6 +4)',
      '   4: (07) r2 += -1',
      '   5: (65) if r2 s> 0x0 goto pc-2',
      '   6: (bc) w3 = (s8)w2',
      '   7: (85) call bpf_ktime_get_ns#5',
      '   8: (85) call pc+2',
      '   9: (db) lock *(u64 *)(r10 -8) += r0',
      '  10: (95) exit',
      '  11: (b7) r0 = 0',
      '  12: (95) exit',
    ])
  })

  test('reads back what the printers print', () => {
    // Texts that do not tell everything: the kind of a call by number, and pseudo loads that print as plain numbers.
    const told = forms.filter(({ form }) => !['call_local', 'call_kfunc', 'callx'].includes(form.mnemonic))
    fc.assert(
      fc.property(fc.constantFrom(...told), values, (form, v) => {
        const before = slot(form, v)
        const wide = form.form.semantics.kind === 'loadImm64'
        if (wide) before.src[0] = 0
        // LLVM has no displacement in packet loads by register, and an offset of kernel functions is not shown.
        if (form.form.semantics.kind === 'loadInd') before.imm[0] = 0
        const one = wide ? before : before.slice(0, 1)
        const bytes = toHex(one.toBytes())
        const llvm = printLlvm(one, 0, { alu32: true })
        expect(toHex(assemble(llvm).toBytes()), llvm).toBe(bytes)
        const kernel = printKernel(one, 0)
        expect(toHex(assemble(kernel).toBytes()), kernel).toBe(bytes)
      }),
      { numRuns: 5000 },
    )
  })

  test('reads the names of bpftool', () => {
    const names = bpftoolNames()
    for (const text of [
      '(18) r1 = map[id:5]',
      '(18) r1 = map[id:5][0]+8',
      '(18) r2 = map[idx:1]+8',
      '(18) r2 = subprog[+3]',
      '(85) call bpf_map_lookup_elem#1',
    ]) {
      expect(printKernel(assemble(text), 0, names)).toBe(text)
    }
  })

  test.each([
    ['r1 = nothing', 'line 1: unknown instruction: r1 = nothing'],
    ['\nr11 = 1', 'line 2: 11 is out of range, expected 0 to 10'],
    ['goto nowhere', 'line 1: unknown label nowhere'],
    ['if r1 ~ r2 goto +1', 'line 1: unknown comparison ~'],
    ['if r1 > x goto +1', 'line 1: x is neither a register nor a number'],
    ['r1 = *(u8 *)(r2 + 40000)', 'line 1: +40000 is out of range, expected -32768 to 32767'],
    ['r1 = 0x10000000000000000 ll', 'line 1: 0x10000000000000000 does not fit 64 bits'],
  ])('refuses %j', (text, message) => {
    const error = thrown(() => assemble(text))
    expect(error.code).toBe('malformed')
    expect(error.message).toBe(message)
  })

  test('any text gives instructions or a BpfError', () => {
    const word = fc.constantFrom(
      'r1',
      'w2',
      '=',
      '+=',
      '*(u8 *)',
      '(r1 + 4)',
      'goto',
      'call',
      '-1',
      'll',
      ':',
      'lock',
      'if',
      '(18)',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word, { maxLength: 8 }).map((words) => words.join(' ')),
        ),
        (text) => {
          try {
            expect(assemble(text)).toBeInstanceOf(InsnBuffer)
          } catch (error) {
            if (!isBpfError(error)) throw error
          }
        },
      ),
      { numRuns: 5000 },
    )
  })
})
