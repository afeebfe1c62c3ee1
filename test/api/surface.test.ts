import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const committed = `${root}/docs/api-surface.txt`

test('the public API is the committed one (npm run docs re-blesses it)', () => {
  const surface = execFileSync(process.execPath, [`${root}/scripts/api-surface.mjs`], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  expect(surface).toBe(readFileSync(committed, 'utf8'))
})
