import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
// @ts-expect-error -- a script without types
import { resultsTable } from '../../scripts/readme-results.mjs'
// @ts-expect-error -- a script without types
import { vmSupport, vmSupportFile } from '../../scripts/vm-support.mjs'

const readme = readFileSync(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8')

/** A table without the padding that the formatter adds. */
const plain = (table: string): string => table.replace(/ {2,}/g, ' ').replace(/-{3,}/g, '---').trim()

test('the measured numbers in the README are those of docs/results (npm run docs)', () => {
  const written = /<!-- results -->([\s\S]*)<!-- \/results -->/.exec(readme)?.[1] ?? ''
  expect(plain(written)).toBe(plain(String(resultsTable())))
})

test('docs/vm.md lists what the vm has (npm run docs)', async () => {
  expect(plain(readFileSync(vmSupportFile, 'utf8'))).toBe(plain(String(await vmSupport())))
})
