import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { repositoryPath } from '../cli/support.ts'

const DOCS = repositoryPath('docs')
const rows = readFileSync(join(DOCS, 'features.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| feature') && !line.startsWith('| -'))
  .map((line) => line.split('|').map((cell) => cell.trim()))

it('every feature has a test that exists, or a reason', () => {
  expect(rows.length).toBeGreaterThan(30)
  const problems: string[] = []
  for (const [, feature = '', cell = ''] of rows) {
    const links = [...cell.matchAll(/\[([^\]]+)\]\(([^)]+)\)/g)].map(([, title = '', file = '']) => ({ title, file }))
    if (!/^[YP–]( |$)/.test(cell)) problems.push(`${feature}: "${cell}" begins with none of Y, P, –`)
    if (cell.startsWith('Y') && links.length === 0) problems.push(`${feature}: no test`)
    if (!cell.startsWith('Y') && cell.length < 20) problems.push(`${feature}: no reason`)
    for (const { title, file } of links) {
      const path = join(DOCS, file)
      if (!existsSync(path)) problems.push(`${feature}: there is no ${file}`)
      else if (!readFileSync(path, 'utf8').includes(title)) problems.push(`${feature}: no test "${title}" in ${file}`)
    }
  }
  expect(problems).toEqual([])
})

it('nothing that libbpf or cilium/ebpf have is missing without a reason', () => {
  for (const [, feature = '', elfbee = '', libbpf = '', cilium = ''] of rows) {
    if (elfbee.startsWith('Y') || (!/^[YP]/.test(libbpf) && !/^[YP]/.test(cilium))) continue
    expect(elfbee.length, feature).toBeGreaterThan(20)
  }
})
