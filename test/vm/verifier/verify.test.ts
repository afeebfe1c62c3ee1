import { describe, expect, test } from 'vitest'
import { assemble, type InsnBuffer } from '../../../src/isa/index.ts'
import { bareProgram, mapSpec } from '../../../src/loader/index.ts'
import { MapType, ProgType } from '../../../src/uapi/index.ts'
import { verify, type VerifyResult } from '../../../src/vm/verifier/index.ts'

const MAP = mapSpec({ name: 'values', type: MapType.HASH, keySize: 4, valueSize: 16, maxEntries: 8 })

/**
 * The verdict on a program in the kernel's notation; `maps`: slots of ld_imm64 that load the map, `change`: what no
 * assembler writes.
 */
function judge(
  text: string,
  type: number = ProgType.XDP,
  maps: readonly number[] = [],
  change: (insns: InsnBuffer) => void = () => {},
): VerifyResult {
  const insns = assemble(text)
  change(insns)
  const lateReferences = maps.map((insn) => ({ kind: 'map', insn, map: 'values' }) as const)
  const program = bareProgram(insns, { name: 'p', type }, { lateReferences })
  return verify(program, { maps: { values: MAP }, btf: null, kernelBtf: null, license: 'GPL' })
}

const accepted: Record<string, string | { readonly type: number; readonly text: string }> = {
  'helpers of tracing programs, which Linux 6.18 offers to all types': `
    r1 = r10
    r1 += -16
    r2 = 16
    call bpf_get_current_comm
    call bpf_get_current_uid_gid
    call bpf_get_cgroup_classid
    r0 = 2
    exit`,
  'what lies behind a number below itself, which the kernel takes for 1 to -2 (found by fuzzing)': `
    call 7
    r7 = r0
    r1 = 1
    if r0 >= r0 goto out
    if r7 != -1 goto out
    w1 -= 2147483647
    r4 = r10
    r4 += r1
    *(u8 *)(r4 -64) = 0
    out:
    r0 = 0
    exit`,
  'a program that returns a number': 'r0 = 0\nexit',
  'null for a socket whose cookie is wanted (found by changing selftests)': {
    type: ProgType.SYSCALL,
    text: 'r1 = 0\ncall 46\nr0 = 0\nexit',
  },
  'a loop with a bound': 'r0 = 0\nagain:\nr0 += 1\nif r0 < 100 goto again\nexit',
  'a packet read behind a check of its end': `
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 14
    r0 = 1
    if r4 > r3 goto out
    r0 = *(u16 *)(r2 +12)
    out:
    exit`,
  'a copy of a value at a negative distance, known from a comparison of the other (found by fuzzing)': `
    call 7
    r7 = r0
    r0 += -7
    if r0 > 7 goto out
    r4 = r10
    r4 += r7
    *(u8 *)(r4 -512) = 0
    out:
    r0 = 0
    exit`,
  'a copy of a value at a distance in 32 bits': `
    r2 = *(u32 *)(r1 +12)
    r3 = r2
    w3 -= 5
    if r2 < 5 goto out
    if r2 > 12 goto out
    r4 = r10
    r4 += -8
    r4 += r3
    *(u8 *)(r4 +0) = 1
    out:
    r0 = 0
    exit`,
  'a value spilled and filled keeps its bounds': `
    r2 = *(u32 *)(r1 +12)
    r2 &= 7
    *(u64 *)(r10 -8) = r2
    r3 = *(u64 *)(r10 -8)
    r4 = r10
    r4 += -16
    r4 += r3
    *(u8 *)(r4 +0) = 1
    r0 = 0
    exit`,
}

const refused: Record<string, { text: string; errno: string; message: string; insn: number }> = {
  'a register that was never set': { text: 'r0 = r3\nexit', errno: 'EACCES', message: 'R3 !read_ok', insn: 0 },
  'no return value': { text: 'exit', errno: 'EACCES', message: 'R0 !read_ok', insn: 0 },
  'a packet read without a check': {
    text: 'r2 = *(u32 *)(r1 +0)\nr0 = *(u8 *)(r2 +0)\nexit',
    errno: 'EACCES',
    message: 'R2 offset is outside of the packet',
    insn: 1,
  },
  'stack that a helper has written, taken for what it was': {
    text: [
      ...['-8', '-16', '-24', '-32', '-40', '-48', '-56', '-64'].map((off) => `*(u64 *)(r10 ${off}) = 0`),
      'r2 = r10\nr2 += -64\nr3 = 64\nr4 = 0\ncall bpf_fib_lookup#69',
      'r1 = *(u32 *)(r10 -64)\nif r1 == 0x0 goto pc+1\nr1 = *(u64 *)(r10 -520)\nr0 = 0\nexit',
    ].join('\n'),
    errno: 'EACCES',
    message: 'invalid read from stack R10 off=-520 size=8',
    insn: 15,
  },
  'a loop without end': {
    text: 'r0 = 0\nagain:\nif r0 == 1 goto out\ngoto again\nout:\nexit',
    errno: 'EINVAL',
    message: 'infinite loop detected at insn 1',
    insn: 1,
  },
  'stack below its limit': {
    text: 'r0 = 0\n*(u64 *)(r10 -520) = r0\nexit',
    errno: 'EACCES',
    message: 'invalid write to stack R10 off=-520 size=8',
    insn: 1,
  },
  'a field that the context does not have': {
    text: 'r0 = *(u32 *)(r1 +24)\nexit',
    errno: 'EACCES',
    message: 'invalid bpf_context access off=24 size=4',
    insn: 0,
  },
  'a pointer moved by a quotient of 32 bits, of which the kernel knows nothing at all (found by fuzzing)': {
    text: 'r1 = *(u32 *)(r1 +12)\nw1 /= 3\nr4 = r10\nr4 += r1\nr0 = 0\nexit',
    errno: 'EINVAL',
    message: 'math between fp pointer and register with unbounded min value is not allowed',
    insn: 3,
  },
  'a result at a place in the stack that may not be aligned (found by changing selftests)': {
    text: `
      r6 = *(u32 *)(r1 +12)
      r6 &= 15
      *(u64 *)(r10 -8) = 0
      *(u64 *)(r10 -16) = 0
      *(u64 *)(r10 -24) = 0
      *(u64 *)(r10 -32) = 0
      r1 = r10
      r1 += -8
      r2 = 8
      r3 = 0
      r4 = r10
      r4 += -32
      r4 += r6
      call 106
      r0 = 0
      exit`,
    errno: 'EACCES',
    message: 'misaligned stack access off (0x0; 0xf)+-32+0 size 8',
    insn: 13,
  },
  'a division by a constant zero': { text: 'r0 = 1\nr0 /= 0\nexit', errno: 'EINVAL', message: 'div by zero', insn: 1 },
}

describe('verify() accepts', () => {
  for (const [what, program] of Object.entries(accepted)) {
    const { type, text } = typeof program === 'string' ? { type: ProgType.XDP, text: program } : program
    test(what, () => expect(judge(text, type)).toMatchObject({ ok: true }))
  }

  test('memory that may be null, where a helper may be given none', () => {
    const lookup = '*(u32 *)(r10 -4) = 0\nr1 = 0 ll\nr2 = r10\nr2 += -4\ncall 1'
    const text = `${lookup}\nr1 = r0\nr2 = 8\nr3 = 0\nr4 = 0\nr5 = 0\ncall bpf_csum_diff\nr0 = 0\nexit`
    expect(judge(text, ProgType.XDP, [1])).toMatchObject({ ok: true })
  })
})

describe('verify() refuses, in the words of Linux,', () => {
  for (const [what, { text, ...verdict }] of Object.entries(refused)) {
    test(what, () => expect(judge(text)).toMatchObject({ ok: false, ...verdict }))
  }

  // Found by trying out every helper with every kind of value (test/oracle/verifier-calls.mjs).
  test('the address of a function in programs that are attached to none', () => {
    expect(judge('call 173\nr0 = 0\nexit', ProgType.KPROBE)).toMatchObject({ ok: true })
    expect(judge('call 173\nr0 = 0\nexit', ProgType.TRACEPOINT)).toMatchObject({
      errno: 'ENOTSUPP',
      message: 'func bpf_get_func_ip#173 not supported for program type 5',
    })
  })

  test('writing to maps that programs may only read, device maps among them', () => {
    const key = '*(u32 *)(r10 -4) = 0\nr1 = 0 ll\nr2 = r10\nr2 += -4'
    const judgeMap = (text: string, type: number, flags: number): VerifyResult => {
      const insns = assemble(text)
      const map = mapSpec({ name: 'values', type, keySize: 4, valueSize: 4, maxEntries: 8, flags })
      const program = bareProgram(
        insns,
        { name: 'p', type: ProgType.XDP },
        { lateReferences: [{ kind: 'map', insn: 1, map: 'values' }] },
      )
      return verify(program, { maps: { values: map }, btf: null, kernelBtf: null, license: 'GPL' })
    }
    const remove = `${key}\ncall 3\nr0 = 0\nexit`
    expect(judgeMap(remove, MapType.HASH, 0)).toMatchObject({ ok: true })
    expect(judgeMap(remove, MapType.HASH, 128)).toMatchObject({ errno: 'EACCES', message: 'write into map forbidden' })
    const store = `${key}\ncall 1\nif r0 == 0 goto out\n*(u32 *)(r0 +0) = 1\nout:\nr0 = 0\nexit`
    expect(judgeMap(store, MapType.HASH, 0)).toMatchObject({ ok: true })
    expect(judgeMap(store, MapType.DEVMAP, 0)).toMatchObject({
      message: 'write into map forbidden, value_size=4 off=0 size=4',
    })
  })

  test('callbacks of programs without BTF', () => {
    const text = 'r1 = 1\nr2 = 0 ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit\nr0 = 0\nexit'
    const callback = (insns: InsnBuffer): void => {
      insns.src[1] = 4
      insns.imm[1] = 6
    }
    expect(judge(text, ProgType.XDP, [], callback)).toMatchObject({ errno: 'EINVAL', message: 'missing btf func_info' })
  })

  test('signed division of pointers, which the kernel calls division', () => {
    expect(judge('r2 = r10\nr2 s/= r10\nr0 = 0\nexit')).toMatchObject({ message: 'R2 pointer /= pointer prohibited' })
    expect(judge('r2 = r10\nr2 s%= 8\nr0 = 0\nexit')).toMatchObject({
      message: 'R2 pointer arithmetic with %= operator prohibited',
    })
  })

  test('an operand before the register that it is added to', () => {
    expect(judge('r2 += r3\nr0 = 0\nexit')).toMatchObject({ message: 'R3 !read_ok' })
  })

  test('a misaligned access, in what is no arena (found by changing selftests)', () => {
    const text = (pointer: string): string => `r2 = 0 ll\n${pointer}\nr3 = 1\nlock *(u32 *)(r1 +1) += r3\nr0 = 0\nexit`
    const insns = assemble(text('r1 = addr_space_cast(r2, 0, 1)'))
    const arena = mapSpec({ name: 'arena', type: MapType.ARENA, keySize: 0, valueSize: 0, maxEntries: 1, flags: 1024 })
    const lateReferences = [{ kind: 'map', insn: 0, map: 'arena' } as const]
    const program = bareProgram(insns, { name: 'p', type: ProgType.SYSCALL }, { lateReferences })
    const options = { maps: { arena }, btf: null, kernelBtf: null, license: 'GPL' }
    expect(verify(program, options)).toMatchObject({ ok: true })
    expect(judge(text('r1 = r10\nr1 += -8\n*(u64 *)(r1 +0) = 0'), ProgType.XDP, [0])).toMatchObject({
      errno: 'EACCES',
      message: 'misaligned stack access off 0+-8+1 size 4',
    })
  })

  test('code that cannot be reached', () => {
    expect(judge('r0 = 0\nexit\nr0 = 1\nexit')).toMatchObject({ errno: 'EINVAL', message: 'unreachable insn 2' })
  })

  test('a map value that was not compared with null', () => {
    const lookup = `
      *(u32 *)(r10 -4) = 0
      r1 = 0 ll
      r2 = r10
      r2 += -4
      call 1
      r0 = *(u64 *)(r0 +0)
      exit`
    expect(judge(lookup, ProgType.XDP, [1])).toMatchObject({
      message: "R0 invalid mem access 'map_value_or_null'",
      insn: 6,
    })
    const checked = lookup.replace('r0 = *(u64 *)(r0 +0)', 'if r0 == 0 goto out\nr0 = *(u64 *)(r0 +8)\nout:')
    expect(judge(checked, ProgType.XDP, [1])).toMatchObject({ ok: true })
    const beyond = checked.replace('r0 +8', 'r0 +9')
    expect(judge(beyond, ProgType.XDP, [1])).toMatchObject({
      message: 'R0 min value is outside of the allowed memory range',
    })
  })

  test('a program that costs more than a million instructions', () => {
    const result = judge('r0 = 0\nr1 = 0\nagain:\nr0 += 1\nr1 += 3\nif r0 < 2000000 goto again\nexit')
    expect(result).toMatchObject({ errno: 'E2BIG', message: 'BPF program is too large. Processed 1000001 insn' })
  })
})

test('a field that must not be set matters only where the program goes', () => {
  const text = (jump: string): string => `r0 = 0\n${jump}\nr0 = 1\nout:\nexit`
  const set = (insns: InsnBuffer): void => void (insns.off[2] = 5)
  expect(judge(text('if r0 == 0 goto out'), ProgType.XDP, [], set)).toMatchObject({ ok: true })
  expect(judge(text('if r0 != 0 goto out'), ProgType.XDP, [], set)).toMatchObject({
    errno: 'EINVAL',
    message: 'BPF_MOV uses reserved fields',
    insn: 2,
  })
})

test('what is not implemented is refused, never accepted', () => {
  // A function of the kernel, without the kernel's BTF.
  expect(judge('call kernel-function#5\nexit')).toMatchObject({ ok: false, errno: 'UNSUPPORTED' })
})

test('an opcode that came after 6.18', () => {
  expect(judge('r0 = 0\ncallx r0\nexit')).toMatchObject({ errno: 'EINVAL', message: 'unknown opcode 8d' })
})
