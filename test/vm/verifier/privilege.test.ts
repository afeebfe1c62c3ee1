import { describe, expect, test } from 'vitest'
import { assemble } from '../../../src/isa/index.ts'
import { bareProgram } from '../../../src/loader/index.ts'
import { ProgType } from '../../../src/uapi/index.ts'
import { verify, type Capability, type VerifyResult } from '../../../src/vm/verifier/index.ts'

function judge(
  text: string,
  capabilities?: readonly Capability[],
  type: number = ProgType.SOCKET_FILTER,
): VerifyResult {
  const program = bareProgram(assemble(text), { name: 'p', type })
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
})

/** Refused without CAP_BPF only; words of Linux 6.18. */
const FOR_CAP_BPF: Record<string, readonly [string, string, string]> = {
  'a function': [
    'call pc+1\nexit\nr0 = 0\nexit',
    'EPERM',
    'loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN',
  ],
  'a loop': ['r0 = 0\nr0 += 1\nif r0 < 0x4 goto pc-2\nexit', 'EINVAL', 'back-edge from insn 2 to 1'],
  'the jiffies': [
    'call bpf_jiffies64#118\nr0 = 0\nexit',
    'EINVAL',
    'program of this type cannot use helper bpf_jiffies64#118',
  ],
}

describe('without CAP_BPF', () => {
  test.each(Object.entries(FOR_CAP_BPF))('%s is refused', (_, [text, errno, message]) => {
    expect(judge(text, ['bpf', 'perfmon'])).toMatchObject({ ok: true })
    expect(judge(text, [])).toMatchObject({ ok: false, errno, message })
  })

  test.each(Object.entries(SECRETS))('%s stays inside', (_, [text, message]) => {
    expect(judge(text, [])).toMatchObject({ ok: false, errno: 'EACCES', message })
  })

  test('small filters are taken', () => {
    expect(judge('r0 = *(u32 *)(r1 +0)\n*(u64 *)(r10 -8) = r0\nr0 = *(u64 *)(r10 -8)\nexit', [])).toMatchObject({
      ok: true,
    })
    expect(judge(`${'r0 = 0\n'.repeat(4095)}exit`, [])).toMatchObject({ ok: true })
    expect(judge(`${'r0 = 0\n'.repeat(4096)}exit`, [])).toMatchObject({ ok: false, errno: 'E2BIG' })
  })

  test('other programs are not', () => {
    expect(judge('r0 = 0\nexit', [], ProgType.XDP)).toMatchObject({ ok: false, errno: 'EPERM' })
    const data = 'r0 = *(u32 *)(r1 +76)\nr0 = 0\nexit'
    expect(judge(data, ['bpf'], ProgType.CGROUP_SKB)).toMatchObject({ ok: true })
    const message = 'invalid bpf_context access off=76 size=4'
    expect(judge(data, [], ProgType.CGROUP_SKB)).toMatchObject({ ok: false, errno: 'EACCES', message })
  })

  test('a number kept on the stack is forgotten', () => {
    const text = 'r2 = 5\n*(u64 *)(r10 -8) = r2\nr3 = *(u64 *)(r10 -8)\nr0 = 0\nif r3 == 0x5 goto pc+1\nr0 = 1\nexit'
    expect(judge(text, []).stats.insnsProcessed).toBe(8)
    expect(judge(text, ['bpf', 'perfmon']).stats.insnsProcessed).toBe(6)
  })
})

test('with it an address is a number like others', () => {
  expect(judge('r0 = r10\nr0 -= r10\nexit')).toMatchObject({ ok: true })
  expect(judge('r0 = *(u64 *)(r10 -8)\nexit')).toMatchObject({ ok: true })
})
