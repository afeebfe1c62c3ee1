import { describe, expect, test } from 'vitest'
import { LinearMemory } from '../../../src/vm/runtime/memory.ts'
import { HEAP_START } from '../../../src/vm/runtime/layout.ts'
import { thrown } from '../../support/thrown.ts'

describe('linear memory', () => {
  test('allocates zeroed bytes, aligned to 8, above the fixed areas', () => {
    const memory = new LinearMemory(1 << 24)
    const a = memory.allocate(3)
    const b = memory.allocate(20)
    expect(a).toBeGreaterThanOrEqual(HEAP_START)
    expect([a % 8, b % 8]).toEqual([0, 0])
    expect(b - a).toBeGreaterThanOrEqual(8)
    expect([...memory.read(b, 20)]).toEqual([...new Uint8Array(20)])
  })

  test('what is freed is used again, and zeroed', () => {
    const memory = new LinearMemory(1 << 24)
    const a = memory.allocate(100)
    memory.fill(a, 7, 100)
    memory.free(a, 100)
    expect(memory.allocate(97)).toBe(a)
    expect(memory.u32(a)).toBe(0)
  })

  test('addresses and contents stay when it grows', () => {
    const memory = new LinearMemory(1 << 26)
    const a = memory.allocate(8)
    memory.setU64(a, 0x1122334455667788n)
    const before = memory.size
    const b = memory.allocate(8 << 20)
    expect(memory.size).toBeGreaterThan(before)
    expect(memory.u64(a)).toBe(0x1122334455667788n)
    memory.setU32(b + (8 << 20) - 4, 5)
    expect(memory.u32(b + (8 << 20) - 4)).toBe(5)
  })

  test('stops at its limit with an error, and goes on below it', () => {
    const memory = new LinearMemory(1 << 22)
    const error = thrown(() => memory.allocate(1 << 23))
    expect([error.code, error.errno]).toEqual(['limit', 'ENOMEM'])
    expect(error.message).toMatch(/4194304/)
    expect(memory.allocate(16)).toBeGreaterThan(0)
  })

  test('gives strings up to the zero, the limit, or nothing at the end of memory', () => {
    const memory = new LinearMemory(1 << 22)
    const a = memory.allocate(16)
    memory.write(a, new TextEncoder().encode('abc'))
    expect(memory.cString(a, 16)).toEqual(new TextEncoder().encode('abc'))
    expect(memory.cString(a, 2)).toEqual(new TextEncoder().encode('ab'))
    memory.fill(memory.size - 4, 120, 4)
    expect(memory.cString(memory.size - 4, 16)).toBeNull()
  })
})
