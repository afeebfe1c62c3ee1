import { describe, expect, test } from 'vitest'
import { FUNCTION_CASES } from './function-cases.ts'
import { judgeFunctions } from './functions.ts'
import { kernel } from './kernel-functions.ts'

const world = { btf: kernel.btf, id: (name: string) => kernel.ids.get(name) }

describe.each(Object.entries(FUNCTION_CASES))('%s', (_, cases) => {
  for (const [what, { text, message, errno = 'EINVAL', ...options }] of Object.entries(cases)) {
    test(`${message === undefined ? 'accepted' : 'refused'}: ${what}`, () => {
      const verdict = message === undefined ? { ok: true } : { ok: false, errno, message }
      expect(judgeFunctions(text, world, options)).toMatchObject(verdict)
    })
  }
})
