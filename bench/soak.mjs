// npm run soak: a billion runs of mixed programs with full maps, in batches inside WebAssembly. Memory has to stay where
// it is after the first tenth, and the last tenth may not take longer than the first one. Writes docs/results/soak.json.
// Needs no permission and no Linux, only the built package.
//
//   node bench/soak.mjs [RUNS]
import { readFileSync } from 'node:fs'
import { load, openObject } from '../dist/loader/index.js'
import { createVm } from '../dist/vm/index.js'
import { root, writeResult } from '../test/oracle/results.mjs'

const RUNS = Number(process.argv[2] ?? 1e9)
const TENTHS = 10
/** Runs of a program in one call. */
const BATCH = 20_000
const PACKETS = 64
/** How often each program comes in a round; those that leave WebAssembly come more rarely. */
const MIX = {
  count_array: 20,
  count_hash: 10,
  count_late_hash: 4,
  count_percpu: 8,
  count_lru: 8,
  chain: 6,
  report: 4,
  queue_up: 1,
  route: 1,
  encapsulate: 0.1,
}
/** Most that the process may have grown by from the end of the first tenth on, and the last tenth be slower. */
const MOST_GROWTH = 16 << 20
const MOST_SLOWDOWN = 1.1

const spec = openObject(new Uint8Array(readFileSync(`${root}/bench/soak/soak.bpf.o`)), { name: 'soak' })
const { programs, maps } = await load(spec, createVm({ cpus: 4, memoryLimit: 64 << 20 }), { strict: true })
maps.next.raw.setSlot(new Uint8Array(4), programs.target.raw)
const packets = Array.from({ length: PACKETS }, (_, i) => Uint8Array.from({ length: 64 }, (_, k) => (i * 7 + k) & 0xff))
const weights = Object.values(MIX).reduce((sum, weight) => sum + weight, 0)
const perProgram = Object.fromEntries(Object.keys(MIX).map((name) => [name, { runs: 0, ns: 0 }]))
const verdicts = {}

/** So many runs of one program. */
function batch(name, runs) {
  const output = programs[name].runBatch(packets, { repeat: Math.max(1, Math.round(runs / PACKETS)) })
  perProgram[name].runs += output.runs
  perProgram[name].ns += output.durationNs * output.runs
  for (const [verdict, count] of output.counts) verdicts[verdict] = (verdicts[verdict] ?? 0) + count
  return output.runs
}

/** About so many runs of all programs. */
function soak(runs) {
  let done = 0
  while (done < runs) {
    for (const [name, weight] of Object.entries(MIX)) done += batch(name, (weight / weights) * BATCH * 10)
    maps.events.raw.drain(() => {}, Infinity)
  }
  return done
}

const memory = () => {
  globalThis.gc?.()
  const { rss, heapUsed, arrayBuffers, external } = process.memoryUsage()
  return { rss, heapUsed, arrayBuffers, external }
}

// Until V8 has compiled everything and the maps are full.
soak(Math.max(RUNS / 100, 1e7))
for (const entry of Object.values(perProgram)) entry.runs = entry.ns = 0
const rows = []
let total = 0
for (let tenth = 1; tenth <= TENTHS; tenth++) {
  const start = performance.now()
  const cpu = process.cpuUsage()
  const runs = soak(RUNS / TENTHS)
  const used = process.cpuUsage(cpu)
  total += runs
  const row = {
    tenth,
    runs,
    seconds: Number(((performance.now() - start) / 1000).toFixed(2)),
    // Others may use the machine: processor time is what is compared.
    nsPerRun: Number((((used.user + used.system) * 1000) / runs).toFixed(2)),
    ...memory(),
  }
  rows.push(row)
  console.log(JSON.stringify(row))
}
const [first] = rows
const last = rows.at(-1)
const growth = last.rss - first.rss
const slowdown = Number((last.nsPerRun / first.nsPerRun).toFixed(3))
writeResult('soak', {
  // Time of a run in the last tenth against the first.
  ratio: slowdown,
  runs: total,
  growth,
  limits: { growth: MOST_GROWTH, slowdown: MOST_SLOWDOWN },
  programs: Object.fromEntries(
    Object.entries(perProgram).map(([name, { runs, ns }]) => [name, { runs, ns: Number((ns / runs).toFixed(1)) }]),
  ),
  verdicts,
  rows,
})
if (growth > MOST_GROWTH || slowdown > MOST_SLOWDOWN) {
  console.log(`the process grew by ${growth} bytes, the last tenth took ${slowdown} of the first`)
  process.exitCode = 1
}
