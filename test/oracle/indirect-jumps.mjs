// Indirect jumps and instruction arrays as Linux has them since 6.19: records what generated programs with jump tables
// return there, and what it says to wrong arrays, in indirect-jumps-golden.json, which indirect-jumps.test.ts compares
// with the vm.
//   node test/oracle/indirect-jumps.mjs [KERNEL]        (default 7.3, booted under qemu by test/kernel/boot/boot.sh)
// Needs dist/, the addon and what boot.sh needs.
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './results.mjs'

const PARTS = ['generate', 'run', 'inside']

const folder = mkdtempSync(join(tmpdir(), 'elfbee-jumps-'))
try {
  cpSync(`${root}dist`, `${folder}/dist`, { recursive: true })
  copyFileSync(`${root}package.json`, `${folder}/package.json`)
  copyFileSync(`${root}native/build/Release/elfbee.node`, `${folder}/elfbee.node`)
  chmodSync(`${folder}/elfbee.node`, 0o755)
  for (const name of [...PARTS.map((part) => `indirect-jumps-${part}`), 'insn-array-cases']) {
    copyFileSync(`${root}test/oracle/${name}.mjs`, `${folder}/${name}.mjs`)
  }
  const command = ['env', 'ELFBEE_NATIVE=/w/elfbee.node', 'node', 'indirect-jumps-inside.mjs']
  execFileSync(`${root}test/kernel/boot/boot.sh`, [process.argv[2] ?? '7.3', folder, ...command], { stdio: 'inherit' })
  const { release, programs, refused } = JSON.parse(readFileSync(`${folder}/out/runs.json`, 'utf8'))
  const arrays = JSON.parse(readFileSync(`${folder}/out/maps.json`, 'utf8'))
  const lines = (entries) =>
    Object.entries(entries).map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`)
  const golden = `{
"kernel": ${JSON.stringify(release)},
"arrays": {
${lines(arrays).join(',\n')}
},
"programs": {
${lines(programs).join(',\n')}
}
}
`
  writeFileSync(new URL('indirect-jumps-golden.json', import.meta.url), golden)
  console.log(`${release}: ${Object.keys(programs).length} programs run, ${Object.keys(refused).length} are refused`)
  for (const [seed, why] of Object.entries(refused)) console.log(`  ${seed}: ${why}`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
