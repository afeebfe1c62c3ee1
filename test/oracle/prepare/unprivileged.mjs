// Asks a Debian 6.18 kernel under qemu, where anybody may load programs, about the selftests' filters of sockets and of
// control groups, without any capability that BPF asks for.
//
//   BOOT=... node test/oracle/prepare/unprivileged.mjs
//
// BOOT names the script that boots: BOOT -k 6.18 FOLDER COMMAND..., without mitigations=off, which would take away what
// is to be compared. Writes unpriv.jsonl (lines of load-dump) into $ELFBEE_ORACLE_DIR, without programs that the booted
// kernel judges differently from load-dump.jsonl when root loads them: it may be an older release of 6.18. A few minutes.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { oracleDir } from '../results.mjs'

const dir = oracleDir()
const FILTERS = /^\??(socket|cgroup_skb|cgroup\/skb)/
const wanted = readFileSync(join(dir, 'load-dump.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))
  .filter(({ prog, section }) => prog !== undefined && FILTERS.test(section))
const folder = mkdtempSync(join(tmpdir(), 'unprivileged-'))
for (const { obj } of wanted) {
  if (!existsSync(join(folder, obj))) copyFileSync(join(dir, 'objs', obj), join(folder, obj))
}
copyFileSync(join(dir, 'load-dump'), join(folder, 'load-dump'))
writeFileSync(join(folder, 'list'), wanted.map(({ obj, prog }) => `${obj} ${prog}\n`).join(''))
// CAP_CHECKPOINT_RESTORE (40) is one that BPF does not ask for.
const command =
  'grep -q mitigations=off /proc/cmdline && exit 1; echo 0 > /proc/sys/kernel/unprivileged_bpf_disabled; ' +
  './load-dump - < list > out/root.jsonl; ./load-dump --caps 40 - < list > out/verdicts.jsonl'
const run = spawnSync(process.env.BOOT ?? 'boot', ['-k', '6.18', '-t', '2400', folder, 'sh', '-c', command], {
  stdio: 'inherit',
})
if (run.status !== 0) process.exit(run.status ?? 1)
const lines = (name) =>
  readFileSync(join(folder, 'out', name), 'utf8')
    .trim()
    .split('\n')
const root = lines('root.jsonl').map((line) => JSON.parse(line))
const verdicts = lines('verdicts.jsonl')
if (verdicts.length !== wanted.length || root.length !== wanted.length) {
  throw new Error(`${root.length} and ${verdicts.length} answers to ${wanted.length} questions`)
}
const kept = verdicts.filter((_, i) => root[i].ok === wanted[i].ok)
console.log(`${kept.length} of ${wanted.length} programs are judged alike when root loads them`)
writeFileSync(join(dir, 'unpriv.jsonl'), `${kept.join('\n')}\n`)
rmSync(folder, { recursive: true })
