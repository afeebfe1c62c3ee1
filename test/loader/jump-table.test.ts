import { describe, expect, it } from 'vitest'
import { load, openObject, prepare } from '../../src/loader/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { CASES, jumpTableObject } from '../support/jump-table.ts'

function problem(object: Uint8Array): string {
  const [result] = prepare(openObject(object), { kernelBtf: null, programs: ['choose'] }).programs
  return result?.ok === false ? result.error.message : ''
}

describe('jump tables', () => {
  it('are counted in the program', () => {
    const [result] = prepare(openObject(jumpTableObject()), { kernelBtf: null, programs: ['choose'] }).programs
    if (result?.ok !== true) throw result?.error ?? new Error('no program')
    expect(result.program.lateReferences).toEqual([{ kind: 'jumpTable', insn: 9, targets: [...CASES] }])
    expect([result.program.insns.src[9], result.program.insns.imm[9]]).toEqual([2, 0])
  })

  it('that lead elsewhere or have no entries fail their program only', () => {
    expect(problem(jumpTableObject([0, 8, 16]))).toMatch(/entry at byte 0 leads to byte 0, outside of the function/)
    expect(problem(jumpTableObject([160, 164, 168]))).toMatch(/entry at byte 8 leads to byte 164/)
    expect(problem(jumpTableObject([128], 16))).toMatch(/bytes 0 to 16 of its section of 8/)
    expect(problem(jumpTableObject([128], 0))).toMatch(/bytes 0 to 0 of its section/)
    const [other] = prepare(openObject(jumpTableObject([0])), { kernelBtf: null, programs: ['other'] }).programs
    expect(other?.ok).toBe(true)
  })

  it.each([true, false])('choose what the program does in the vm, unverified (JIT: %s)', async (jit) => {
    await using live = await load(openObject(jumpTableObject()), createVm({ jit, verify: false }), { strict: true })
    const choice = (byte: number): number =>
      live.programs['choose']!.run({ data: new Uint8Array(64).fill(byte) }).retval
    expect([0, 1, 2, 3].map(choice)).toEqual([10, 11, 12, 0])
  })

  it('are refused by the vm that does as Linux 6.18, with the way out', async () => {
    await using live = await load(openObject(jumpTableObject()), createVm())
    const report = live.report.programs.find(({ name }) => name === 'choose')
    expect(report?.error).toMatchObject({ code: 'verifier', errno: 'EINVAL' })
    expect(report?.error?.message).toMatch(/unknown opcode 0d\n.*came with Linux 6\.19; load it with verify: false/)
  })

  it('are what the verifier cannot tell about in one that does as Linux 6.19', async () => {
    await using live = await load(openObject(jumpTableObject()), createVm({ linux: '6.19' }))
    const report = live.report.programs.find(({ name }) => name === 'choose')
    expect(report?.error).toMatchObject({ code: 'unsupported' })
    expect(report?.error?.message).toMatch(/does not know indirect jumps \(gotox\) yet.*verify: false/)
  })
})
