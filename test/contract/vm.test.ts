import { describe } from 'vitest'
import { createVm } from '../../src/vm/index.ts'
import { Harness } from './harness.ts'
import { mapContract } from './maps.ts'
import { arenaContract } from './arena.ts'
import { programContract } from './programs.ts'

describe.each([
  ['jit', true],
  ['interpreter', false],
] as const)('contract: vm, %s', (_name, jit) => {
  const harness = new Harness(createVm({ verify: false, jit }))
  mapContract(harness)
  arenaContract(harness)
  programContract(harness)
})
