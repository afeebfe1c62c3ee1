// Prints the running kernel's BTF as a C header, as a whole process, against bpftool doing the same in turn. Writes
// docs/results/bench-btf-dump.json. (Opening the BTF is measured in open-relocate.mjs.)
//
//   node bench/btf-dump.mjs [ROUNDS]
//
// The ratio of the smallest times counts: those of a machine that did nothing else. The limit is 2.
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { oracleDir, root, writeResult } from '../test/oracle/results.mjs'

const rounds = Number(process.argv[2] ?? 10)
const dump = ['btf', 'dump', 'file', '/sys/kernel/btf/vmlinux', 'format', 'c']
const samples = { elfbee: [], bpftool: [] }
for (let i = 0; i < rounds; i++) {
  const ours = timeProcess(process.execPath, [`${root}dist/cli/main.js`, ...dump])
  const theirs = timeProcess(`${oracleDir()}/bpftool`, dump)
  if (ours.bytes !== theirs.bytes) throw new Error(`elfbee's header has ${ours.bytes} bytes, bpftool's ${theirs.bytes}`)
  samples.elfbee.push(ours.ms)
  samples.bpftool.push(theirs.ms)
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]
const row = (name, of) => {
  const [elfbee, bpftool] = [of(samples.elfbee), of(samples.bpftool)]
  return { name, elfbeeMs: Math.round(elfbee), bpftoolMs: Math.round(bpftool), ratio: round2(elfbee / bpftool) }
}
const rows = [row('minimum', (values) => Math.min(...values)), row('median', median)]
for (const { name, elfbeeMs, bpftoolMs, ratio } of rows) {
  console.log(`${name}: ${elfbeeMs} ms, bpftool ${bpftoolMs} ms, ratio ${ratio}`)
}
writeResult('bench-btf-dump', { rounds, limit: 2, ratio: rows[0].ratio, rows })

function round2(value) {
  return Math.round(value * 100) / 100
}

/** Time of a whole process that writes to a file (a pipe would make its reader part of the measurement), ms. */
function timeProcess(command, args) {
  const dir = mkdtempSync(join(tmpdir(), 'elfbee-bench-'))
  const file = join(dir, 'out')
  const output = openSync(file, 'w')
  try {
    const start = performance.now()
    const result = spawnSync(command, args, { stdio: ['ignore', output, 'inherit'] })
    const ms = performance.now() - start
    if (result.status !== 0) throw new Error(`${command} ${args.join(' ')} failed`)
    return { ms, bytes: statSync(file).size }
  } finally {
    closeSync(output)
    rmSync(dir, { recursive: true })
  }
}
