import { beforeAll, describe, expect, test } from 'vitest'
import { assemble } from '../../../src/isa/index.ts'
import { bareProgram } from '../../../src/loader/index.ts'
import { ProgType } from '../../../src/uapi/index.ts'
import { verify, type StateView, type VerifyOptions, type VerifyResult } from '../../../src/vm/index.ts'
import { loadText } from '../../support/fixture.ts'

interface Case {
  readonly name: string
  readonly level: number
  readonly text: string
  readonly log: string
}

/** Logs of Linux 6.18, written by test/oracle/verifier-log-bless.mjs. */
let cases: readonly Case[] = []
beforeAll(async () => {
  cases = JSON.parse(await loadText('test/vm/golden/verifier-logs.json')) as Case[]
})

function judge(text: string, options: Partial<VerifyOptions> = {}): VerifyResult {
  const program = bareProgram(assemble(text), { name: 'f', type: ProgType.SCHED_CLS })
  return verify(program, { maps: {}, btf: null, kernelBtf: null, license: 'GPL', ...options })
}

describe('log', () => {
  test('is the kernel’s, byte for byte', () => {
    expect(cases.length).toBeGreaterThan(0)
    for (const { name, level, text, log } of cases) {
      expect({ name, level, log: judge(text, { logLevel: level }).log }).toEqual({ name, level, log })
    }
  })

  test('is empty without a level', () => {
    expect(judge('r0 = 0\nexit').log).toBe('')
  })

  test('ends with time, stack and costs at level 4', () => {
    const { log } = judge('*(u64 *)(r10 -16) = 0\nr0 = 0\nexit', { logLevel: 4 })
    expect(log).toMatch(/^verification time \d+ usec\nstack depth 16\nprocessed 3 insns \(limit 1000000\) .*\n$/)
  })

  test('keeps its end when it is too long', () => {
    const { log } = judge('r0 = 0\nr0 += 1\nif r0 < 0x200 goto pc-2\nexit', { logLevel: 2, logSize: 1000 })
    expect(log.length).toBe(1000)
    expect(log).toMatch(/processed \d+ insns .*\n$/)
  })
})

describe('states as data', () => {
  function states(text: string): StateView[] {
    const seen: StateView[] = []
    judge(text, { onInstruction: (state) => seen.push(state) })
    return seen
  }

  test('registers and their bounds on both ways of a branch', () => {
    const seen = states('r0 = *(u32 *)(r1 +4)\nif r0 > 0x10 goto pc+1\nr0 += 1\nexit')
    expect(seen.map((s) => s.insn)).toEqual([0, 1, 2, 3, 3])
    const [first, , low, , high] = seen
    expect(first?.frames[0]?.registers.map((r) => r?.kind ?? null)).toEqual([
      null,
      'ctx',
      ...Array.from({ length: 8 }, () => null),
      'fp',
    ])
    expect(low?.frames[0]?.registers[0]?.range).toMatchObject({ umin: 0n, umax: 16n })
    expect(high).toMatchObject({ insn: 3, previous: 1 })
    expect(high?.frames[0]?.registers[0]?.range).toMatchObject({ umin: 17n, umax: 0xffffffffn })
  })

  test('the stack, frame by frame', () => {
    const seen = states(
      '*(u64 *)(r10 -8) = 7\n*(u8 *)(r10 -9) = 0\nr1 = r10\ncall pc+1\nexit\nr0 = *(u64 *)(r1 -8)\nexit',
    )
    const inside = seen.find((s) => s.insn === 5)
    expect(inside?.frames.map((f) => f.callsite)).toEqual([-1, 3])
    expect(inside?.frames[1]?.registers[1]?.text).toBe('fp[0]0')
    const stack = inside?.frames[0]?.stack
    expect(stack?.map((slot) => slot.offset)).toEqual([-8, -16])
    expect(stack?.[0]?.register).toMatchObject({ kind: 'scalar', value: 7n })
    expect(stack?.[1]?.bytes.slice(0, 2)).toEqual(['zero', 'invalid'])
  })
})
