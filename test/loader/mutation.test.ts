import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isBpfError } from '../../src/errors.ts'
import { openObject, prepare } from '../../src/loader/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { mutate, mutationRuns } from '../support/mutate.ts'

const FIXTURES = [
  'clang14/load_balancer',
  'clang19/externs',
  'clang19-eb/map_in_map',
  'clang19/core_kinds',
  'clang19/notype',
]

describe('openObject on damaged objects', () => {
  it('gives a spec or a BpfError', async () => {
    const originals = await Promise.all(FIXTURES.map((name) => loadFixture(`fixtures/${name}.bpf.o`)))
    const target = openObject(await loadFixture('fixtures/clang19/btf_kinds.bpf.o')).btf
    if (target === null) throw new Error('no BTF')
    let opened = 0
    fc.assert(
      fc.property(fc.nat(originals.length - 1), fc.nat(), (index, seed) => {
        const bytes = mutate(originals[index] as Uint8Array, seed)
        try {
          const spec = openObject(bytes)
          for (const fn of spec.functions) for (const line of fn.lines) void line.text
          for (const variable of Object.values(spec.variables)) variable.get()
          const { programs } = prepare(spec, {
            kernelBtf: null,
            coreBtf: target,
            withoutBtf: 'local',
            kconfig: { text: '' },
          })
          for (const result of programs) JSON.stringify(result.ok ? result.program.core : result.core)
          opened++
        } catch (error) {
          if (!isBpfError(error)) throw error
        }
      }),
      { numRuns: mutationRuns(1500) },
    )
    expect(opened).toBeGreaterThan(0)
  })

  it('does not allocate what a hostile .bss asks for', async () => {
    const bytes = (await loadFixture('fixtures/clang19/globals.bpf.o')).slice()
    const view = new DataView(bytes.buffer)
    const headers = Number(view.getBigUint64(40, true))
    for (let i = 0; i < view.getUint16(60, true); i++) {
      const header = headers + i * 64
      if (view.getUint32(header + 4, true) === 8) view.setBigUint64(header + 32, 1n << 40n, true)
    }
    expect(() => openObject(bytes)).toThrow(/has 1099511627776 bytes/)
  })
})
