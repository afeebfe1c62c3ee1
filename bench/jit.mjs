// Runs the programs of bench/jit in the vm's JIT and in the kernel's (BPF_PROG_TEST_RUN with repeat), in turns, after
// checking that both give the same results, and writes how the times compare to docs/results/bench-jit-node*.json.
// Needs root (or CAP_BPF) and the built package.
//
//   node bench/jit.mjs [ROUNDS [PATTERN]]     with a pattern, only programs it matches and no file
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { root } from '../test/oracle/results.mjs'
import { KERNEL_LOOP_NS, geomean, loadBoth, machine, measure, round, stayOnOneCpu } from './lib/versus-kernel.mjs'

stayOnOneCpu()
const rounds = Number(process.argv[2] ?? 15)
const pattern = process.argv[3] === undefined ? null : new RegExp(process.argv[3])
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

async function compare(object, name, sides) {
  const [kernel, vm] = await measure(name, sides, PACKETS[0], rounds, DRAINED[name])
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
  const sides = await loadBoth(`${root}/bench/jit/objects/${file}`, object)
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
    const result = await compare(object, name, sides)
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
  ...machine(rounds),
  // The kernel's loop around the program takes some 8 ns a run, which is not its JIT's doing.
  ratio: round(geomean(results.map((r) => r.ratioWithoutLoop)), 3),
  ratioWithKernelLoop: round(geomean(ratios), 3),
  geomeanOfMedians: round(geomean(results.map((r) => r.medianRatio)), 3),
  worst: Math.max(...ratios),
  byClass: Object.fromEntries(Object.entries(classes).map(([k, v]) => [k, round(geomean(v), 3)])),
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
