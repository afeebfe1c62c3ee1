import { describe } from 'vitest'
import { openKernelBackend } from '../../src/kernel/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { Harness } from './harness.ts'
import { mapContract } from './maps.ts'
import { arenaContract } from './arena.ts'
import { programContract } from './programs.ts'

const run = await kernelTestsRun()

describe.runIf(run)('contract: kernel', () => {
  if (!run) return
  const harness = new Harness(openKernelBackend())
  mapContract(harness)
  arenaContract(harness)
  programContract(harness)
})
