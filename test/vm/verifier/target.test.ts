import { describe, expect, test } from 'vitest'
import { Btf, BtfBuilder, BtfKind } from '../../../src/btf/index.ts'
import { assemble } from '../../../src/isa/index.ts'
import type { PreparedProgram, StructOpsAttach } from '../../../src/loader/index.ts'
import { AttachType, ProgType } from '../../../src/uapi/index.ts'
import { verify, type VerifyOptions, type VerifyResult } from '../../../src/vm/verifier/index.ts'

/** A small kernel: functions, a hook, a structure of functions. */
function kernel(): { btf: Btf; ops: number } {
  const builder = new BtfBuilder()
  const sign = { signed: true, char: false, bool: false } as const
  const int = builder.add({ kind: BtfKind.INT, name: 'int', size: 4, bits: 32, bitOffset: 0, ...sign })
  const member = (name: string, type: number, bitOffset: number) => ({ name, type, bitOffset, bitSize: 0 })
  const struct = (name: string, size: number, members: ReturnType<typeof member>[]): number =>
    builder.add({ kind: BtfKind.STRUCT, name, size, kindFlag: false, members })
  const pointer = (type: number): number => builder.add({ kind: BtfKind.PTR, name: '', type })
  const proto = (returnType: number, params: { name: string; type: number }[]): number =>
    builder.add({ kind: BtfKind.FUNC_PROTO, name: '', returnType, params })
  const func = (name: string, type: number): number => builder.add({ kind: BtfKind.FUNC, name, type, linkage: 0 })
  const file = struct('file', 8, [member('f_mode', int, 0), member('f_flags', int, 32)])
  const open = proto(int, [
    { name: 'file', type: pointer(file) },
    { name: 'mode', type: int },
  ])
  func('vfs_open', open)
  func('bpf_fentry_test1', open)
  func('do_exit', open)
  func('bpf_lsm_file_open', open)
  func('bpf_lsm_audit_rule_known', open)
  func('bpf_lsm_getprocattr', open)
  func('bpf_lsm_file_free_security', proto(0, [{ name: 'file', type: pointer(file) }]))
  const state = struct('bpf_dummy_ops_state', 4, [member('val', int, 0)])
  const test1 = proto(int, [{ name: 'cb', type: pointer(state) }])
  func('bpf_dummy_ops__test_1', proto(int, [{ name: 'cb__nullable', type: pointer(state) }]))
  const ops = struct('bpf_dummy_ops', 16, [
    member('test_1', pointer(test1), 0),
    member('test_sleepable', pointer(proto(int, [])), 64),
  ])
  return { btf: Btf.parse(builder.build()), ops }
}

const { btf: kernelBtf, ops } = kernel()

interface Attach {
  readonly type: number
  readonly attachType?: number
  readonly to?: string
  readonly flags?: number
  readonly structOps?: StructOpsAttach
}

function judge(text: string, attach: Attach, options: Partial<VerifyOptions> = {}): VerifyResult {
  const program: PreparedProgram = {
    spec: {
      name: 'p',
      section: 'test',
      functionIndex: 0,
      type: attach.type,
      attachType: attach.attachType ?? null,
      flags: attach.flags ?? 0,
      attachTarget: attach.to ?? null,
      autoload: true,
    },
    insns: assemble(text),
    functions: [{ name: 'p', start: 0, btfId: 0 }],
    lateReferences: [],
    lines: [],
    core: [],
    ...(attach.structOps === undefined ? {} : { structOps: attach.structOps }),
  }
  return verify(program, { maps: {}, btf: null, kernelBtf, license: 'GPL', ...options })
}

const fentry = { type: ProgType.TRACING, attachType: AttachType.TRACE_FENTRY, to: 'vfs_open' }
const fexit = { ...fentry, attachType: AttachType.TRACE_FEXIT }
const lsm = { type: ProgType.LSM, attachType: AttachType.LSM_MAC, to: 'file_open' }
const SLEEPABLE = 16
const RETURN_0 = 'r0 = 0\nexit'
const LOAD_ARGUMENT = 'r2 = *(u64 *)(r1 +0)\nr0 = *(u32 *)(r2 +4)\nr0 = 0\nexit'

describe('functions of the kernel', () => {
  test('arguments are pointers and numbers of the function', () => {
    expect(judge(LOAD_ARGUMENT, fentry)).toMatchObject({ ok: true })
    expect(judge('r2 = *(u64 *)(r1 +8)\nr0 = *(u32 *)(r2 +0)\nexit', fentry)).toMatchObject({
      message: "R2 invalid mem access 'scalar'",
    })
  })

  test('what the function returns is seen at its end only', () => {
    const load = 'r0 = *(u64 *)(r1 +16)\nr0 = 0\nexit'
    expect(judge(load, fexit)).toMatchObject({ ok: true })
    expect(judge(load, fentry)).toMatchObject({ message: 'invalid bpf_context access off=16 size=8' })
  })

  test('functions that are not there, may not be changed or never return', () => {
    expect(judge(RETURN_0, { ...fentry, to: 'vfs_closed' })).toMatchObject({ errno: 'ENOENT' })
    expect(judge(RETURN_0, { ...fexit, to: 'do_exit' })).toMatchObject({ errno: 'EINVAL' })
    const change = { ...fentry, attachType: AttachType.MODIFY_RETURN }
    expect(judge(RETURN_0, change)).toMatchObject({ message: 'vfs_open() is not modifiable' })
    expect(judge(RETURN_0, { ...change, to: 'bpf_fentry_test1' })).toMatchObject({ ok: true })
  })

  test('only some functions may have programs that sleep', () => {
    expect(judge(RETURN_0, { ...fentry, flags: SLEEPABLE })).toMatchObject({ message: 'vfs_open is not sleepable' })
    expect(judge(RETURN_0, { ...fentry, to: 'bpf_fentry_test1', flags: SLEEPABLE })).toMatchObject({ ok: true })
  })
})

describe('LSM hooks', () => {
  test.each([
    ['file_open', -1, true],
    ['file_open', 1, false],
    ['file_open', -4096, false],
    ['audit_rule_known', 1, true],
    ['audit_rule_known', -1, false],
    ['file_free_security', 7, true],
  ])('%s may return %i: %s', (to, value, ok) => {
    expect(judge(`r0 = ${value}\nexit`, { ...lsm, to }).ok).toBe(ok)
  })

  test('hooks that programs cannot take, and other licences', () => {
    expect(judge(RETURN_0, { ...lsm, to: 'getprocattr' }).message).toMatch(/disabled hook bpf_lsm_getprocattr/)
    expect(judge(RETURN_0, lsm, { license: 'MIT' }).message).toBe('LSM programs must have a GPL compatible license')
  })
})

describe('struct_ops', () => {
  const member = (index: number, memberName: string): Attach => ({
    type: ProgType.STRUCT_OPS,
    structOps: { typeId: ops, module: null, member: index, memberName },
  })
  const store = '*(u32 *)(r2 +0) = 7\nr0 = 0\nexit'

  test('an argument that may be null has to be checked', () => {
    const load = 'r2 = *(u64 *)(r1 +0)\n'
    expect(judge(load + store, member(0, 'test_1'))).toMatchObject({
      message: "R2 invalid mem access 'trusted_ptr_or_null_'",
    })
    expect(judge(`${load}if r2 == 0 goto out\n${store.replace('r0', 'out:\nr0')}`, member(0, 'test_1'))).toMatchObject({
      ok: true,
    })
  })

  test('members that may sleep, and what is no member', () => {
    expect(judge(RETURN_0, { ...member(1, 'test_sleepable'), flags: SLEEPABLE })).toMatchObject({ ok: true })
    expect(judge(RETURN_0, { ...member(0, 'test_1'), flags: SLEEPABLE })).toMatchObject({
      message: 'attach to unsupported member test_1 of struct bpf_dummy_ops',
    })
    expect(judge(RETURN_0, member(9, 'none'))).toMatchObject({
      message: 'attach to invalid member idx 9 of struct bpf_dummy_ops',
    })
    expect(judge(RETURN_0, { type: ProgType.STRUCT_OPS })).toMatchObject({ errno: 'ENOTSUPP' })
  })
})
