import { describe, expect, it } from 'vitest'
import { openKernelBackend } from '../../src/kernel/index.ts'
import { assemble } from '../../src/isa/index.ts'
import { load, openObject } from '../../src/loader/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { insnArrayOutcomes } from '../oracle/insn-array-cases.mjs'
import { kernelTestsRun } from '../support/kernel.ts'
import { jumpTableObject } from '../support/jump-table.ts'

describe.runIf(await kernelTestsRun())('a program with a jump table', () => {
  it('runs on kernels that know indirect jumps, and is refused by others with the reason', async () => {
    await using live = await load(openObject(jumpTableObject()), openKernelBackend())
    const choose = live.programs['choose']
    if (choose === undefined) {
      const report = live.report.programs.find(({ name }) => name === 'choose')
      expect(report?.error?.message).toContain('this kernel does not know: they need Linux 6.19')
      return
    }
    const choice = (byte: number): number => choose.run({ data: new Uint8Array(64).fill(byte) }).retval
    expect([0, 1, 2, 3].map(choice)).toEqual([10, 11, 12, 0])
  })

  it('and so are arrays of instructions, as the vm has it that does as Linux 6.18 or 6.19', () => {
    const kernel = insnArrayOutcomes(openKernelBackend(), assemble)
    const isKnown = kernel['create with its shape'] === 'ok'
    const vm = insnArrayOutcomes(createVm({ linux: isKnown ? '6.19' : '6.18', verify: false }), assemble)
    // Without a verifier nothing refuses a bad program.
    const refused = isKnown ? { 'program that is refused': 'EACCES' } : {}
    expect(kernel).toEqual({ ...vm, ...refused })
  })
})
