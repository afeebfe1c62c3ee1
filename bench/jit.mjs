// Runs the programs of bench/jit in the vm's JIT and in the kernel's (BPF_PROG_TEST_RUN with repeat), in turns, after
// checking that both give the same results, and writes how the times compare to docs/results/bench-jit-node*.json.
// Needs root (or CAP_BPF) and the built package.
//
//   node bench/jit.mjs [ROUNDS [PATTERN]]     with a pattern, only programs it matches and no file
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { openKernelBackend } from '../dist/kernel/index.js'
import { load, openObject } from '../dist/loader/index.js'
import { createVm } from '../dist/vm/index.js'
import { root } from '../test/oracle/results.mjs'

// Per-CPU maps are checked too, so the kernel has to run all programs on one CPU; V8's compiler may use the others.
try {
  execFileSync('taskset', ['-p', '-c', String(cpus().length - 1), String(process.pid)], { stdio: 'ignore' })
} catch {
  console.log('no taskset: per-CPU maps may differ')
}

const rounds = Number(process.argv[2] ?? 15)
const pattern = process.argv[3] === undefined ? null : new RegExp(process.argv[3])
/** Least time of one measurement, in ns. */
const SLICE = 3e6
/** What the kernel's loop around a run takes, which its times include (reference: an empty program). */
const KERNEL_LOOP_NS = 8
/** Programs that others need to run first, in both, and those that nothing is measured of. */
const BEFORE = { maps: ['fill'] }
const UNMEASURED = new Set(['fill', 'tail_end', 'tail_hop', 'tail_spin'])
/** A ring buffer has to be emptied between measurements, and may not fill up in one. */
const DRAINED = { ring_events: { map: 'events', repeat: 40_000 } }

const hex = (name) =>
  Uint8Array.from(Buffer.from(readFileSync(`${root}/fixtures/packets/${name}.hex`, 'utf8').replace(/\s/g, ''), 'hex'))
const pad = (bytes, size) => Uint8Array.from({ length: size }, (_, i) => bytes[i] ?? (i * 7 + 3) & 0xff)
/** A UDP packet, which is measured; others only check. */
const PACKETS = [pad(hex('udp'), 128), pad(hex('tcp'), 96), Uint8Array.from({ length: 300 }, (_, i) => (i * 37) & 0xff)]

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]
const geomean = (list) => Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length)
const same = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0

function check(name, [kernel, vm]) {
  for (const data of PACKETS) {
    const a = kernel.programs[name].run({ data })
    const b = vm.programs[name].run({ data })
    if (a.retval !== b.retval) return `returns ${b.retval}, in the kernel ${a.retval}`
    if (!same(a.data, b.data)) return 'packets differ'
  }
  const contents = (map) =>
    JSON.stringify(
      [...map.entries()].map((e) => JSON.stringify(e, (_, v) => (typeof v === 'bigint' ? `${v}` : v))).sort(),
    )
  for (const [map, mine] of Object.entries(vm.maps)) {
    const { type } = mine.raw
    // Arrays and hashes with one value; the CPU of the kernel's runs is not known.
    if (type !== 1 && type !== 2 && type !== 9) continue
    if (map.startsWith('.rodata')) continue
    if (contents(mine) !== contents(kernel.maps[map])) return `map ${map} differs`
  }
  return null
}

async function measure(object, name, sides) {
  const data = PACKETS[0]
  const drained = DRAINED[name]
  const time = (side, repeat) => {
    if (drained !== undefined) side.maps[drained.map].drain()
    for (;;) {
      try {
        return side.programs[name].run({ data, repeat }).durationNs
      } catch (error) {
        if (error.errno !== 'EINTR') throw error
      }
    }
  }
  const repeats = sides.map((side) => {
    let repeat = 2
    for (;;) {
      const most = drained?.repeat ?? 1e7
      // The lesser of two: one may have been interrupted.
      const ns = Math.min(time(side, repeat), time(side, repeat))
      if (ns * repeat >= SLICE || repeat >= most) return repeat
      repeat = Math.min(most, Math.max(repeat * 2, Math.ceil(SLICE / Math.max(1, ns))))
    }
  })
  // V8 compiles hot code in the background.
  await sleep(10)
  for (const [i, side] of sides.entries()) time(side, repeats[i])
  const times = sides.map(() => [])
  for (let i = 0; i < rounds; i++) {
    sides.forEach((side, k) => times[k].push(time(side, repeats[k])))
  }
  const [kernel, vm] = times.map((list) => ({ min: Math.min(...list), median: median(list) }))
  const round = (x, digits) => Number(x.toFixed(digits))
  return {
    program: name,
    class: object,
    kernelNs: kernel.min,
    vmNs: round(vm.min, 1),
    ratio: round(vm.min / kernel.min, 3),
    ratioWithoutLoop: round(vm.min / Math.max(1, kernel.min - KERNEL_LOOP_NS), 3),
    medianRatio: round(vm.median / kernel.median, 3),
  }
}

const results = []
const failures = []
for (const file of readdirSync(`${root}/bench/jit/objects`).sort()) {
  const object = file.replace(/\.bpf\.o$/, '')
  const bytes = new Uint8Array(readFileSync(`${root}/bench/jit/objects/${file}`))
  const names = Object.keys(openObject(bytes, { name: object }).programs).length
  if (names === 0) continue
  const sides = []
  for (const backend of [openKernelBackend(), createVm()]) {
    sides.push(await load(openObject(bytes, { name: object }), backend))
  }
  for (const before of BEFORE[object] ?? []) for (const side of sides) side.programs[before].run({ data: PACKETS[0] })
  const chosen = Object.keys(sides[1].programs).filter(
    (name) => !UNMEASURED.has(name) && (pattern === null || pattern.test(name) || pattern.test(object)),
  )
  // All checks come first: measured runs are not equally many.
  const checked = chosen.filter((name) => {
    const difference = check(name, sides)
    if (difference === null) return true
    failures.push({ program: name, difference })
    console.log(`${object}/${name}: ${difference}`)
    return false
  })
  for (const name of checked) {
    const result = await measure(object, name, sides)
    results.push(result)
    console.log(
      `${object.padEnd(8)}${name.padEnd(22)} kernel ${String(result.kernelNs).padStart(6)} ns   vm ${String(result.vmNs).padStart(8)} ns   ratio ${result.ratio}`,
    )
  }
  for (const side of sides) side.close()
}

const ratios = results.map((r) => r.ratio)
const classes = {}
for (const r of results) (classes[r.class] ??= []).push(r.ratio)
const record = {
  name: `bench-jit-node${process.versions.node.split('.')[0]}`,
  date: new Date().toISOString().slice(0, 10),
  kernel: release(),
  node: process.version,
  processors: cpus().length,
  rounds,
  // The kernel's loop around the program takes some 8 ns a run, which is not its JIT's doing.
  ratio: Number(geomean(results.map((r) => r.ratioWithoutLoop)).toFixed(3)),
  ratioWithKernelLoop: Number(geomean(ratios).toFixed(3)),
  geomeanOfMedians: Number(geomean(results.map((r) => r.medianRatio)).toFixed(3)),
  worst: Math.max(...ratios),
  byClass: Object.fromEntries(Object.entries(classes).map(([k, v]) => [k, Number(geomean(v).toFixed(3))])),
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
