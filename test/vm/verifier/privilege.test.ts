import { describe, expect, test } from 'vitest'
import { assemble } from '../../../src/isa/index.ts'
import { bareProgram } from '../../../src/loader/index.ts'
import { ProgType } from '../../../src/uapi/index.ts'
import { verify, type Capability, type VerifyResult } from '../../../src/vm/verifier/index.ts'

function judge(text: string, capabilities?: readonly Capability[]): VerifyResult {
  const program = bareProgram(assemble(text), { name: 'p', type: ProgType.SOCKET_FILTER })
  const all = { maps: {}, btf: null, kernelBtf: null, license: 'GPL' }
  return verify(program, capabilities === undefined ? all : { ...all, capabilities })
}

/** Taken with CAP_PERFMON (but for the first), and why not without; words of Linux 6.18. */
const SECRETS: Record<string, readonly [string, string]> = {
  'an address as mark of the packet': ['*(u32 *)(r1 +48) = r1\nr0 = 0\nexit', 'R1 leaks addr into ctx'],
  'half of an address': ['w0 = w1\nexit', 'R1 partial copy of pointer'],
  'an address compared with a number': [
    'r0 = 0\nif r1 == 5 goto out\nr0 = 1\nout:\nexit',
    'R1 pointer comparison prohibited',
  ],
  'the distance of two addresses': ['r0 = r10\nr0 -= r10\nexit', 'R0 pointer -= pointer prohibited'],
  'stack that nobody has written': ['r0 = *(u64 *)(r10 -8)\nexit', 'invalid read from stack R10 off=-8 size=8'],
  'an address in parts': [
    '*(u64 *)(r10 -8) = r10\n*(u8 *)(r10 -8) = 1\nr0 = 0\nexit',
    'attempt to corrupt spilled pointer on stack',
  ],
  'an offset that only the processor may get wrong': [
    'r0 = 0\nr2 = *(u32 *)(r1 +0)\nr2 &= 7\nr3 = r10\nr3 += -16\nr3 += r2\n*(u8 *)(r3 +0) = 1\nexit',
    'R3 variable stack access prohibited for !root, var_off=(0x0; 0x7) off=-16',
  ],
}

describe('without CAP_PERFMON', () => {
  test.each(Object.entries(SECRETS))('%s stays inside', (_, [text, message]) => {
    expect(judge(text, ['bpf', 'net_admin'])).toMatchObject({ ok: false, errno: 'EACCES', message })
  })

  test('programs without secrets are taken', () => {
    expect(judge('r0 = *(u32 *)(r1 +0)\nexit', ['bpf'])).toMatchObject({ ok: true })
  })

  test('nothing is known of those without CAP_BPF', () => {
    expect(judge('r0 = 0\nexit', [])).toMatchObject({ ok: false, errno: 'UNSUPPORTED' })
  })
})

test('with it an address is a number like others', () => {
  expect(judge('r0 = r10\nr0 -= r10\nexit')).toMatchObject({ ok: true })
  expect(judge('r0 = *(u64 *)(r10 -8)\nexit')).toMatchObject({ ok: true })
})
