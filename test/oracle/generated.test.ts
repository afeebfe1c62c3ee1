import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { repositoryPath } from '../cli/support.ts'

const source = join(process.env['ELFBEE_ORACLE_DIR'] ?? repositoryPath('.cache/oracle'), 'linux-source-6.12')
// The last of the files that prepare.sh unpacks.
const unpacked = existsSync(join(source, 'net/netfilter/nf_bpf_link.c'))
if (!unpacked) console.warn(`generated files are not checked: no kernel source in ${source} (test/oracle/prepare)`)

describe.runIf(unpacked)('generated files', () => {
  test('the facts about helpers are what their generator gives from the source of Linux 6.12', () => {
    execFileSync(process.execPath, [repositoryPath('scripts/generate-helpers.mjs'), '--check', source])
  })
})
