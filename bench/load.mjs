// How long opening and loading an object with 50 programs takes, against libbpf in the same run. Writes
// docs/results/bench-load.json.
//
//   node bench/load.mjs [--rounds N]
//
// Needs root, what bench/peer/build.sh makes, and dist/. Each side has its own process; rounds alternate between them, and
// each side counts with its median after the first loads of a process, which are recorded as `cold`.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { oracleDir, writeResult } from '../test/oracle/results.mjs'

const LOADS = 8
const WARM_UP = 3
const LIMIT = 1.3
const self = fileURLToPath(import.meta.url)
const object = fileURLToPath(new URL('load/fifty.bpf.o', import.meta.url))

if (process.argv[2] === '--child') await child()
else parent(process.argv[2] === '--rounds' ? Number(process.argv[3]) : 7)

function parent(rounds) {
  const peer = `${oracleDir()}/bench/libbpf-load`
  if (!existsSync(peer)) throw new Error(`run bench/peer/build.sh first: there is no ${peer}`)
  const samples = { libbpf: { cold: [], warm: [] }, elfbee: { cold: [], warm: [] } }
  const add = (side, ns) => {
    samples[side].cold.push(ns[0])
    samples[side].warm.push(...ns.slice(WARM_UP))
  }
  let libbpf = ''
  for (let round = 0; round < rounds; round++) {
    const theirs = JSON.parse(execFileSync(peer, [object, LOADS], { encoding: 'utf8' }))
    libbpf = theirs.libbpf
    if (theirs.programs !== 50) throw new Error(`libbpf loaded ${theirs.programs} programs`)
    add('libbpf', theirs.ns)
    add('elfbee', JSON.parse(execFileSync(process.execPath, [self, '--child'], { encoding: 'utf8' })))
  }
  const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]
  const round2 = (value) => Math.round(value * 100) / 100
  const rows = ['warm', 'cold'].map((mode) => {
    const [elfbeeMs, libbpfMs] = [samples.elfbee[mode], samples.libbpf[mode]].map((ns) => median(ns) / 1e6)
    return { mode, elfbeeMs: round2(elfbeeMs), libbpfMs: round2(libbpfMs), ratio: round2(elfbeeMs / libbpfMs) }
  })
  for (const { mode, elfbeeMs, libbpfMs, ratio } of rows) {
    console.log(`${mode}: ${elfbeeMs} ms, libbpf ${libbpfMs} ms, ratio ${ratio}`)
  }
  const [{ ratio }, { ratio: coldRatio }] = rows
  const differences = rows.filter((row) => row.mode === 'warm' && row.ratio > LIMIT)
  const counts = { equal: 1 - differences.length, total: 1 }
  writeResult('bench-load', {
    libbpf,
    programs: 50,
    rounds,
    limit: LIMIT,
    ...counts,
    ratio,
    coldRatio,
    rows,
    differences,
  })
}

async function child() {
  const { openKernelBackend } = await import('../dist/kernel/index.js')
  const { load, openObject } = await import('../dist/loader/index.js')
  const backend = openKernelBackend()
  const ns = []
  for (let i = 0; i < LOADS; i++) {
    const started = process.hrtime.bigint()
    const spec = openObject(new Uint8Array(readFileSync(object)), { name: 'fifty.bpf.o' })
    const live = await load(spec, backend)
    ns.push(Number(process.hrtime.bigint() - started))
    const { length } = live.report.programs.filter(({ status }) => status === 'loaded')
    if (length !== 50) throw new Error(`${length} programs were loaded`)
    live.close()
  }
  backend.close()
  console.log(JSON.stringify(ns))
}
