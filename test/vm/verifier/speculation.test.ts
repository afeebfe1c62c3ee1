import { beforeAll, describe, expect, test } from 'vitest'
import { assemble } from '../../../src/isa/index.ts'
import { bareProgram, mapSpec } from '../../../src/loader/index.ts'
import { MapType, ProgType } from '../../../src/uapi/index.ts'
import { verify, type VerifyOptions, type VerifyResult } from '../../../src/vm/verifier/index.ts'
import { loadText } from '../../support/fixture.ts'

interface Case {
  readonly name: string
  readonly text: string
  readonly verdict: string
  readonly log: string
}

const MAP = mapSpec({ name: 'values', type: MapType.ARRAY, keySize: 4, valueSize: 16, maxEntries: 1 })

/** Verdicts and logs of Linux 6.18 without CAP_PERFMON, written by test/oracle/verifier-unprivileged-bless.mjs. */
let cases: readonly Case[] = []
beforeAll(async () => {
  cases = JSON.parse(await loadText('test/vm/golden/verifier-unprivileged.json')) as Case[]
})

function judge(text: string, options: Partial<VerifyOptions> = {}): VerifyResult {
  const insns = assemble(text)
  const at = insns.code.indexOf(0x18)
  const lateReferences = at < 0 ? [] : [{ kind: 'map', insn: at, map: 'values' } as const]
  const program = bareProgram(insns, { name: 'f', type: ProgType.SOCKET_FILTER }, { lateReferences })
  const capabilities = ['bpf', 'net_admin'] as const
  return verify(program, {
    maps: { values: MAP },
    btf: null,
    kernelBtf: null,
    license: 'GPL',
    capabilities,
    ...options,
  })
}

describe('paths that only a processor takes which runs ahead', () => {
  test('are walked, and logged, as the kernel does', () => {
    expect(cases.length).toBeGreaterThan(0)
    for (const { name, text, verdict, log } of cases) {
      const result = judge(text, { logLevel: 2 })
      expect({ name, verdict: result.errno ?? 'ok', log: result.log }).toEqual({ name, verdict, log })
    }
  })

  test('do not exist with CAP_PERFMON', () => {
    const text = 'r0 = 0\nif r0 == 0x0 goto pc+1\nr0 = *(u64 *)(r0 +0)\nexit'
    expect(judge(text).stats.insnsProcessed).toBe(4)
    expect(judge(text, { capabilities: ['bpf', 'perfmon'] }).stats.insnsProcessed).toBe(3)
  })

  test('are none of the program’s own: what lies on them only was not reached', () => {
    const { facts } = judge('r0 = 0\nif r0 == 0x0 goto pc+1\nr0 = *(u32 *)(r10 -4)\nexit', { facts: true })
    expect([...(facts?.reached ?? [])]).toEqual([1, 1, 0, 1])
  })

  test.each([
    ['conditions that are certain', 'r0 = 0\n' + 'if r0 == 0x1 goto pc+0\n'.repeat(8193) + 'exit', 'EFAULT'],
    ['conditions', 'r0 = *(u32 *)(r1 +0)\nif r0 == 0x1 goto pc+0\n'.repeat(8193) + 'exit', 'EFAULT'],
  ])('8,192 at most may wait: %s', (_, text, errno) => {
    const message = 'The sequence of 8193 jumps is too complex.'
    expect(judge(text)).toMatchObject({ ok: false, errno, message })
  })
})
