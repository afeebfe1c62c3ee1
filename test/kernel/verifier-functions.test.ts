import { release } from 'node:os'
import { afterAll, describe, expect, it } from 'vitest'
import { BtfKind } from '../../src/btf/index.ts'
import { isBpfError } from '../../src/bytes/index.ts'
import { openKernelBackend } from '../../src/kernel/index.ts'
import type { BackendMap } from '../../src/loader/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { FUNCTION_CASES, type FunctionsCase } from '../vm/verifier/function-cases.ts'
import { kernel } from '../vm/verifier/kernel-functions.ts'
import { judgeFunctions, MAP_TYPES, MAPS, programOf } from '../vm/verifier/functions.ts'

// The verdicts are those of the version that elfbee's verifier follows.
const isTarget = release().startsWith('6.18.')
if (!isTarget) console.warn(`verdicts of Linux 6.18 are not compared with those of Linux ${release()}`)
const run = isTarget && (await kernelTestsRun())

interface Verdict {
  readonly ok: boolean
  readonly errno: string | null
  readonly message: string
}

/** What the verifier complained about: the last line before the statistics, some of which begin on that very line. */
function lastLine(log: string): string {
  return (
    log
      .replace(/processed \d+ insns[^]*$/, '')
      .trimEnd()
      .split('\n')
      .at(-1) ?? ''
  )
}

describe.runIf(run)('rules about functions, by the running kernel and by elfbee with its BTF', () => {
  if (!run) return
  const backend = openKernelBackend()
  const btf = backend.kernelBtf()
  const maps = new Map<string, BackendMap>()
  for (const [name, spec] of Object.entries(MAPS)) {
    const types = spec.valueTypeId === 0 ? null : MAP_TYPES.btf
    maps.set(name, backend.createMap({ spec, kernelName: name, btf: types, inner: null }))
  }
  afterAll(() => {
    for (const map of maps.values()) map.close()
    backend.close()
  })
  const id = (name: string): number | undefined =>
    kernel.ids.has(name) ? btf?.findByName(name, BtfKind.FUNC) : undefined

  function asked({ text, ...options }: FunctionsCase): Verdict {
    const made = programOf(text, id, options)
    try {
      const request = { license: 'GPL', version: 0, maps, bindMaps: [], logLevel: 0 }
      backend.loadProgram({ program: made.program, btf: made.btf, ...request }).close()
      return { ok: true, errno: null, message: '' }
    } catch (error) {
      if (!isBpfError(error)) throw error
      return { ok: false, errno: error.errno ?? null, message: lastLine(error.log ?? '') }
    }
  }

  describe.each(Object.entries(FUNCTION_CASES))('%s', (_, cases) => {
    it.each(Object.entries(cases))('%s', (_name, each) => {
      const { message = '', errno = 'EINVAL' } = each
      const ok = each.message === undefined
      const recorded: Verdict = { ok, errno: ok ? null : errno, message }
      expect(asked(each)).toEqual(recorded)
      if (btf === null) return
      const judged = judgeFunctions(each.text, { btf, id }, each)
      expect({ ok: judged.ok, errno: judged.errno ?? null, message: judged.message ?? '' }).toEqual(recorded)
    })
  })
})
