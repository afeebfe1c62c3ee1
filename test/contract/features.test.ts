import { describe } from 'vitest'
import { openKernelBackend } from '../../src/kernel/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { featureContract } from './features.ts'

const run = await kernelTestsRun()

describe.runIf(run)('features: kernel', async () => {
  if (run) await featureContract(openKernelBackend())
})

describe.each([
  ['jit', true],
  ['interpreter', false],
] as const)('features: vm, %s', async (_name, jit) => {
  await featureContract(createVm({ verify: false, jit }))
})
