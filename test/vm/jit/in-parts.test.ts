import { expect, test, vi } from 'vitest'
import { buildCfg } from '../../../src/isa/index.ts'
import { splitFunction } from '../../../src/vm/jit/split.ts'
import { exit, assemble, branch, mov } from './support.ts'

// What other tests say of the JIT, with all functions cut into parts of a few instructions.
vi.mock(import('../../../src/vm/jit/split.ts'), async (original) => {
  const actual = await original()
  return { ...actual, splitFunction: (cfg) => actual.splitFunction(cfg, { whole: 3, part: 3, loop: 6 }) }
})

test('functions are cut', () => {
  const { insns } = assemble([mov(0, 1), branch('eq', 1, { imm: 0 }, 3), mov(0, 2), mov(0, 3), exit])
  expect(splitFunction(buildCfg(insns, 0, insns.length))?.parts.length).toBeGreaterThan(1)
})

await import('./calls.test.ts')
await import('./slots.test.ts')
await import('./indirect.test.ts')
await import('../run/instruments.test.ts')
