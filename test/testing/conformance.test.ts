import { describe, expect, test } from 'vitest'
import { printKernel } from '../../src/isa/index.ts'
import { fromHex } from '../../src/bytes/index.ts'
import {
  assembleConformance,
  conformanceNeeds,
  insnsFromBytes,
  parseConformance,
  runConformance,
  runProgram,
} from '../../src/testing/index.ts'
import { thrown } from '../support/thrown.ts'

/** The one instruction of a line, in the kernel's syntax. */
function one(line: string): string {
  return printKernel(assembleConformance(line).insns, 0).replace(/^\(..\) /, '')
}

describe('the assembler of bpf_conformance', () => {
  test.each([
    ['mov32 %r0, 1', 'w0 = 1'],
    ['mov r0, -1', 'r0 = -1'],
    ['add r1, 0xffffffff', 'r1 += -1'],
    ['sdiv32 %r3, %r4', 'w3 s/= w4'],
    ['smod r3, 7', 'r3 s%= 7'],
    ['neg32 r2', 'w2 = -w2'],
    ['movsx1632 r1, r2', 'w1 = (s16)w2'],
    ['be16 r5', 'r5 = be16 r5'],
    ['swap64 r5', 'r5 = bswap64 r5'],
    ['ldxh %r0, [%r1+0x10]', 'r0 = *(u16 *)(r1 +16)'],
    ['ldxsb r0, [r1-1]', 'r0 = *(s8 *)(r1 -1)'],
    ['ldxdw r0, [r1]', 'r0 = *(u64 *)(r1 +0)'],
    ['stb [r1+2], 255', '*(u8 *)(r1 +2) = 255'],
    ['stxdw [r10-8], r3', '*(u64 *)(r10 -8) = r3'],
    ['lock add [r10-8], r1', 'lock *(u64 *)(r10 -8) += r1'],
    ['lock fetch add32 [r10-8], r1', 'r1 = atomic_fetch_add((u32 *)(r10 -8), r1)'],
    ['lock fetch_or [r10-8], r1', 'r1 = atomic64_fetch_or((u64 *)(r10 -8), r1)'],
    ['lock cmpxchg [r10-8], r1', 'r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r1)'],
    ['jeq %r1, 5, +1', 'if r1 == 0x5 goto pc+1'],
    ['jset32 r1, r2, -1', 'if w1 & w2 goto pc-1'],
    ['ja32 +3', 'gotol pc+3'],
    ['call 5', 'call bpf_ktime_get_ns#5'],
    ['call bpf_ktime_get_ns', 'call bpf_ktime_get_ns#5'],
    ['call local +4', 'call pc+4'],
    ['exit  # the end', 'exit'],
  ])('%s', (line, expected) => {
    expect(one(line)).toBe(expected)
  })

  test('labels, the one of the first exit too', () => {
    const { insns } = assembleConformance('jeq r1, 0, exit\nagain: sub r1, 1\njne r1, 0, again\nexit\nmov r0, 1\nexit')
    expect(Array.from(insns.off)).toEqual([2, 0, -2, 0, 0, 0])
  })

  test.each([
    ['mov r0', 'line 1: mov has 1 operands, expected 2'],
    ['frob r0, 1', 'line 1: unknown instruction frob'],
    ['mov r0, 1\nja away', 'line 2: there is no label away'],
    ['mov r0, 0x1ffffffff', 'line 1: 0x1ffffffff does not fit 32 bits'],
    ['ldxw r0, r1', 'line 1: r1 is no place in memory'],
    ['call global 3', 'line 1: a call is local, helper or runtime, not global'],
    ['lock frob [r1], r2', 'line 1: there is no atomic operation frob'],
    ['a:\na:', 'line 2: the label a is there twice'],
  ])('refuses %j', (text, message) => {
    expect(thrown(() => assembleConformance(text)).message).toContain(message)
  })
})

describe('a test of the suite', () => {
  test('memory, length and all 64 bits of the result', () => {
    const text =
      '# licence\n-- asm\nldxdw r0, [r1]\nadd r0, r2\nexit\n-- mem\nff ff ff ff\nff ff ff 7f\n-- result\n0x8000000000000007\n'
    const parsed = parseConformance(text, 'sum')
    expect(runConformance(parsed)).toEqual({
      name: 'sum',
      passed: true,
      engine: 'jit',
      result: 0x8000000000000007n,
      error: null,
      expected: null,
    })
    expect(runConformance(parsed, 'interpreter').result).toBe(0x8000000000000007n)
  })

  test('a wrong result says what was expected', () => {
    const { passed, expected } = runConformance(parseConformance('-- asm\nmov r0, 1\nexit\n-- result\n2\n', 'wrong'))
    expect({ passed, expected }).toEqual({ passed: false, expected: '0x2' })
  })

  test('an error that does not come', () => {
    const { passed, expected } = runConformance(parseConformance('-- asm\nmov r0, 1\nexit\n-- error\nno\n', 'error'))
    expect({ passed, expected }).toEqual({ passed: false, expected: 'an error: no' })
  })

  test('callx, whichever field has its register', () => {
    const parsed = parseConformance('-- asm\nmov r2, 8\ncall r2\nmov r0, 4\nexit\n-- result\n4\n', 'callx')
    expect(runConformance(parsed)).toMatchObject({ passed: true, engine: 'jit' })
    const suite = insnsFromBytes(fromHex('b702000008000000 8d20000000000000 b700000004000000 9500000000000000'))
    const program = { insns: suite, memory: new Uint8Array(0), maps: [], mapReferences: new Map<number, string>() }
    for (const engine of ['interpreter', 'jit'] as const) {
      expect(runProgram(program, engine)).toEqual({ result: 4n, error: null })
    }
  })

  test.each([
    ['-- asm\nexit\n', 'there is neither a result nor an error'],
    ['-- asm\n-- result\n0\n', 'there are no instructions'],
    ['-- frobnicate\n', "line 1: unknown section '-- frobnicate'"],
    ['-- asm\n\nmov r0\n-- result\n0\n', 'line 3: mov has 1 operands'],
    ['-- asm\nexit\n-- result\nmany\n', "'many' is no number"],
    ['-- asm\nexit\n-- mem\nzz\n-- result\n0\n', 'hex'],
  ])('refuses %j', (text, message) => {
    expect(thrown(() => parseConformance(text, 'broken')).message).toContain(message)
  })

  test('groups and version of what a program needs', () => {
    const needs = (text: string): unknown => conformanceNeeds(assembleConformance(text).insns)
    expect(needs('mov32 r0, 1\nexit')).toEqual({ groups: ['base32'], version: 1 })
    expect(needs('sdiv r0, 3\nlock xchg32 [r10-4], r1\nexit')).toEqual({
      groups: ['base32', 'divmul64', 'atomic32'],
      version: 4,
    })
    expect(needs('call r2\nexit')).toEqual({ groups: ['base32', 'callx'], version: 5 })
  })
})
