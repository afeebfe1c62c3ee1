import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { assemble } from '../../src/isa/index.ts'
import { bareProgram, mapSpec, openObject } from '../../src/loader/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { isRecorded, mapCases, packed, runMapCase, unpacked } from './map-cases.mjs'
import { mapEnvironment, vmDescriptors } from './map-environment.mjs'

/** What the kernel did; `node test/oracle/maps-vs-kernel.mjs --bless` writes it. */
const golden = JSON.parse(readFileSync(new URL('map-cases-golden.json', import.meta.url), 'utf8')) as Readonly<
  Record<string, string>
>
/** CPUs of the machine that it was recorded on. */
const CPUS = 2

describe.each([
  ['jit', true],
  ['interpreter', false],
] as const)('maps do what those of the kernel did: %s', (_name, jit) => {
  test('all recorded cases', async () => {
    const vm = createVm({ verify: false, jit, cpus: CPUS })
    const locked = openObject(await loadFixture('test/contract/objects/maps.bpf.o'))
    const environment = mapEnvironment({ assemble, bareProgram, mapSpec }, vm, locked, vmDescriptors(vm))
    let cases = 0
    for (const each of mapCases()) {
      const expected = golden[each.name]
      if (expected === undefined) continue
      expect(packed(runMapCase(environment, each, unpacked(expected))), each.name).toBe(expected)
      cases++
    }
    expect(cases).toBeGreaterThan(500)
    expect([...mapCases()].filter(isRecorded).length).toBe(Object.keys(golden).length)
    vm.close()
  })
})
