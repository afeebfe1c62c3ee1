import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  Btf,
  BtfKind,
  checkBtf,
  cName,
  dumpC,
  dumpJson,
  dumpRaw,
  formatValue,
  parseBtfExt,
  readValue,
  writeValue,
} from '../../src/btf/index.ts'
import { isBpfError } from '../../src/bytes/index.ts'
import { mutate, mutationRuns } from '../support/mutate.ts'
import { btfOf, sectionOf } from './fixtures.ts'

const RUNS = mutationRuns(100)
/** Far above what any input takes. */
const TIME_LIMIT = 2000

/** Runs `work`; whatever it throws has to be a BpfError, and soon. */
function settles(work: () => unknown): boolean {
  const start = performance.now()
  try {
    work()
    return true
  } catch (error) {
    if (!isBpfError(error)) throw error
    expect(error.message).not.toBe('')
    return false
  } finally {
    expect(performance.now() - start).toBeLessThan(TIME_LIMIT)
  }
}

describe('damaged BTF gives a value or a BpfError', () => {
  test.each(['clang19/btf_kinds', 'clang19-eb/btf_kinds'])('%s', async (object) => {
    const original = await sectionOf(object, '.BTF')
    let values = 0
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        let btf: Btf | null = null
        if (!settles(() => (btf = Btf.parse(mutate(original, seed))))) return
        const opened = btf as unknown as Btf
        values++
        settles(() => checkBtf(opened))
        settles(() => dumpRaw(opened))
        settles(() => dumpJson(opened, { pretty: true }))
        settles(() => dumpC(opened))
        settles(() => dumpC(opened, { sort: false, compat: 'bpftool' }))
        const bytes = new Uint8Array(256).fill(0xa5)
        for (const id of opened.ids()) {
          settles(() => cName(opened, id, 'x'))
          const kind = opened.kind(id)
          if (kind !== BtfKind.VAR && kind !== BtfKind.STRUCT) continue
          settles(() => writeValue(opened, id, readValue(opened, id, bytes), bytes.slice()))
          settles(() => formatValue(opened, id, bytes, { style: 'bpftool' }))
        }
      }),
      { numRuns: RUNS },
    )
    expect(values).toBeGreaterThan(RUNS / 10)
  })

  test('BTF.ext', async () => {
    const btf = await btfOf('clang19/core_kinds')
    const original = await sectionOf('clang19/core_kinds', '.BTF.ext')
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        settles(() => {
          const ext = parseBtfExt(mutate(original, seed), btf)
          for (const lines of ext.lineInfo.values()) for (const line of lines) settles(() => line.lineText)
          return [ext.funcInfo, ext.coreRelos]
        })
      }),
      { numRuns: RUNS },
    )
  })
})
