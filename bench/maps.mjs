// Times map operations of programs in the vm and in the kernel (BPF_PROG_TEST_RUN with repeat), in turns, and writes how
// they compare to docs/results/bench-maps.json. Every program of bench/maps does 16 operations a run.
// Needs root (or CAP_BPF) and the built package.
//
//   node bench/maps.mjs [ROUNDS [PATTERN]]     with a pattern, only programs it matches and no file
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { root } from '../test/oracle/results.mjs'
import { KERNEL_LOOP_NS, geomean, loadBoth, machine, measure, round, stayOnOneCpu } from './lib/versus-kernel.mjs'

const rounds = Number(process.argv[2] ?? 15)
const pattern = process.argv[3] === undefined ? null : new RegExp(process.argv[3])
const OPERATIONS = 16
const DATA = new Uint8Array(64)
/** What is filled before, and with how many entries. */
const COUNTS = { '1k': 1_000, '100k': 100_000, '1m': 1_000_000 }
/** A ring buffer has to be emptied between measurements, and may not fill up in one. */
const RING = { map: 'events', repeat: 20_000 }
/** Runs that must return the same on both sides, before anything is measured. */
const CHECKED_RUNS = 20
/** Which elements an LRU map drops is each side's own. */
const OWN_RESULTS = /^(percpu_)?lru/

stayOnOneCpu()
const results = []
const failures = []
for (const file of readdirSync(`${root}/bench/maps/objects`).sort()) {
  const sides = await loadBoth(`${root}/bench/maps/objects/${file}`, file.replace(/\.bpf\.o$/, ''))
  const names = Object.keys(sides[1].programs)
  const chosen = names.filter((name) => !name.startsWith('fill_') && (pattern === null || pattern.test(name)))
  const maps = new Set(chosen.map((name) => name.replace(/_[^_]*(_insert)?$/, '')))
  for (const fill of names.filter((name) => name.startsWith('fill_'))) {
    const map = fill.slice('fill_'.length)
    if (pattern !== null && !maps.has(map)) continue
    const runs = Math.ceil(COUNTS[map.split('_').at(-1)] / OPERATIONS)
    // One at a time: a signal would end repeated runs of the kernel somewhere in between (EINTR).
    for (const side of sides) for (let i = 0; i < runs; i++) side.programs[fill].run({ data: DATA })
  }
  for (const name of chosen) {
    if (OWN_RESULTS.test(name)) continue
    for (let i = 0; i < CHECKED_RUNS; i++) {
      const [kernel, vm] = sides.map((side) => side.programs[name].run({ data: DATA }).retval)
      if (kernel === vm) continue
      failures.push({ program: name, difference: `returns ${vm}, in the kernel ${kernel}` })
      console.log(`${name}: returns ${vm}, in the kernel ${kernel}`)
      break
    }
  }
  for (const name of chosen) {
    const drained = name.startsWith('ringbuf_') ? RING : undefined
    const [kernel, vm] = await measure(name, sides, DATA, rounds, drained)
    const operation = (time) => Math.max(1, time - KERNEL_LOOP_NS) / OPERATIONS
    const row = {
      operation: name,
      kernelNs: round(operation(kernel.min), 2),
      vmNs: round(vm.min / OPERATIONS, 2),
      ratio: round(vm.min / OPERATIONS / operation(kernel.min), 3),
      medianRatio: round(vm.median / OPERATIONS / operation(kernel.median), 3),
    }
    results.push(row)
    const [kernelNs, vmNs] = [row.kernelNs, row.vmNs].map((ns) => ns.toFixed(1).padStart(7))
    console.log(`${name.padEnd(26)} kernel ${kernelNs} ns   vm ${vmNs} ns   ratio ${row.ratio}`)
  }
  for (const side of sides) side.close()
}

const ratios = results.map(({ ratio }) => ratio)
const record = {
  name: 'bench-maps',
  ...machine(rounds),
  ratio: round(geomean(ratios), 3),
  geomeanOfMedians: round(geomean(results.map(({ medianRatio }) => medianRatio)), 3),
  worst: Math.max(...ratios),
  failures,
  rows: results,
}
console.log(JSON.stringify({ ...record, rows: results.length }))
console.log(`${record.name}: ratio ${record.ratio}`)
if (pattern === null) {
  mkdirSync(`${root}/docs/results`, { recursive: true })
  writeFileSync(`${root}/docs/results/${record.name}.json`, JSON.stringify(record, null, 2) + '\n')
}
if (failures.length > 0) process.exitCode = 1
