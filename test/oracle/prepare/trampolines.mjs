// Asks a Debian 6.18 kernel under qemu about the selftests' programs that the kernel of this machine does not take:
// fentry, fexit, fmod_ret, LSM and freplace.
//
//   BOOT=... node test/oracle/prepare/trampolines.mjs
//
// BOOT names the script that boots: BOOT -k 6.18 FOLDER COMMAND... Writes trampolines.jsonl (lines of load-dump, with
// `target` [object, program, function] where a program attaches to another) and trampolines-vmlinux (its BTF) into
// $ELFBEE_ORACLE_DIR. Some ten minutes.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { oracleDir } from '../results.mjs'

const dir = oracleDir()
const { targets } = JSON.parse(readFileSync(new URL('trampolines.json', import.meta.url), 'utf8'))
const verdicts = readFileSync(join(dir, 'load-dump.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))
const KINDS = /^\??(fentry|fexit|fmod_ret|lsm|lsm_cgroup|freplace)(\.s)?(\/|$)/

const wanted = []
for (const { obj, prog, section } of verdicts) {
  if (prog === undefined || !KINDS.test(section)) continue
  const its = targets.filter(([o, p]) => o === obj && (p === '*' || p === prog))
  if (its.length === 0) wanted.push({ obj, prog, target: null })
  for (const [, , ...target] of its) wanted.push({ obj, prog, target })
}
const folder = mkdtempSync(join(tmpdir(), 'trampolines-'))
for (const { obj, target } of wanted) {
  for (const name of [obj, target?.[0]]) {
    if (name !== undefined && !existsSync(join(folder, name))) copyFileSync(join(dir, 'objs', name), join(folder, name))
  }
}
copyFileSync(join(dir, 'load-dump'), join(folder, 'load-dump'))
const list = wanted.map(({ obj, prog, target }) => [obj, prog, ...(target ?? [])].join(' '))
writeFileSync(join(folder, 'list'), `${list.join('\n')}\n`)
const command =
  './load-dump - < list > out/verdicts.jsonl; cp /sys/kernel/btf/vmlinux out/vmlinux; uname -r > out/release'
const run = spawnSync(process.env.BOOT ?? 'boot', ['-k', '6.18', '-t', '2400', folder, 'sh', '-c', command], {
  stdio: 'inherit',
})
if (run.status !== 0) process.exit(run.status ?? 1)
const lines = readFileSync(join(folder, 'out', 'verdicts.jsonl'), 'utf8')
  .trim()
  .split('\n')
const answers = lines.map((line) => JSON.parse(line))
if (answers.length !== wanted.length) throw new Error(`${answers.length} answers to ${wanted.length} questions`)
const rows = answers.map((answer, i) => JSON.stringify({ ...answer, target: wanted[i].target }))
writeFileSync(join(dir, 'trampolines.jsonl'), `${rows.join('\n')}\n`)
copyFileSync(join(folder, 'out', 'vmlinux'), join(dir, 'trampolines-vmlinux'))
copyFileSync(join(folder, 'out', 'release'), join(dir, 'trampolines-release'))
rmSync(folder, { recursive: true })
