// Runs fixtures in the vm's JIT and in the kernel's (BPF_PROG_TEST_RUN with repeat), in turns, and prints how the
// times compare. Needs root (or CAP_BPF) and the built package.
//
//   node bench/jit-smoke.mjs [ROUNDS]
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { openKernelBackend } from '../dist/kernel/index.js'
import { load, openObject } from '../dist/loader/index.js'
import { createVm } from '../dist/vm/index.js'
import { root } from '../test/oracle/results.mjs'

const rounds = Number(process.argv[2] ?? 15)
/** Least time of one measurement, in ns. */
const SLICE = 4e6
const packet = (name) =>
  Uint8Array.from(Buffer.from(readFileSync(`${root}/fixtures/packets/${name}.hex`, 'utf8').replace(/\s/g, ''), 'hex'))
const long = Uint8Array.from({ length: 1500 }, (_, i) => (i < 54 ? packet('tcp')[i] : i * 7) & 0xff)

/** Object, program, packet, and a program to run before. */
const CASES = [
  ['packet_counter', 'count_packets', packet('tcp')],
  ['load_balancer', 'balance', packet('vip'), 'fill_example'],
  ['checksum', 'fill_checksums', packet('tcp')],
  ['checksum', 'fill_checksums', long, null, 'fill_checksums, 1500 bytes'],
  ['alu_v4', 'arithmetic', long],
  ['atomics', 'on_map', long],
  ['subprograms', 'calls', packet('tcp')],
  ['subprograms', 'loops', packet('tcp')],
  ['subprograms', 'for_each', packet('tcp')],
  ['tail_calls', 'entry', packet('tcp')],
  ['tail_calls', 'spin_start', packet('tcp')],
  ['map_in_map', 'count', packet('tcp')],
  ['globals', 'update', packet('tcp')],
  ['maps_all', 'use_lru_hash', packet('tcp')],
  ['maps_all', 'use_lpm', packet('tcp')],
  ['socket_filter', 'keep_headers', packet('tcp')],
  ['tc_rewrite', 'rewrite', packet('tcp')],
]

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]

async function measure([object, program, data, before, label]) {
  const bytes = new Uint8Array(readFileSync(`${root}/fixtures/clang19/${object}.bpf.o`))
  const sides = []
  for (const backend of [openKernelBackend(), createVm()]) {
    const loaded = await load(openObject(bytes, { name: object }), backend)
    if (before) loaded.programs[before].run({ data })
    const target = loaded.programs[program]
    const first = target.run({ data })
    sides.push({ loaded, target, retval: first.retval, repeat: 1, times: [] })
  }
  for (const side of sides) {
    let time = 0
    while (side.repeat < 1e6) {
      time = side.target.run({ data, repeat: side.repeat }).durationNs
      if (time * side.repeat >= SLICE) break
      side.repeat = Math.min(1e6, Math.max(side.repeat * 2, Math.ceil(SLICE / Math.max(1, time))))
    }
  }
  for (let i = 0; i < rounds; i++) {
    for (const side of sides) side.times.push(side.target.run({ data, repeat: side.repeat }).durationNs)
  }
  for (const side of sides) side.loaded.close()
  const [kernel, vm] = sides.map((s) => ({ min: Math.min(...s.times), median: median(s.times) }))
  return {
    program: label ?? program,
    object,
    kernelNs: kernel.min,
    vmNs: Number(vm.min.toFixed(1)),
    ratio: Number((vm.min / kernel.min).toFixed(3)),
    medianRatio: Number((vm.median / kernel.median).toFixed(3)),
    sameResult: sides[0].retval === sides[1].retval,
  }
}

const results = []
for (const item of CASES) {
  try {
    const result = await measure(item)
    results.push(result)
    console.log(
      `${result.program.padEnd(28)} kernel ${String(result.kernelNs).padStart(6)} ns   vm ${String(result.vmNs).padStart(8)} ns   ratio ${result.ratio}${result.sameResult ? '' : '   RESULTS DIFFER'}`,
    )
  } catch (error) {
    console.log(`${String(item[1])}: ${String(error)}`)
    process.exitCode = 1
  }
}
const geomean = Math.exp(results.reduce((sum, r) => sum + Math.log(r.ratio), 0) / results.length)
const record = {
  name: 'bench-jit-smoke',
  date: new Date().toISOString().slice(0, 10),
  kernel: release(),
  node: process.version,
  rounds,
  ratio: Number(geomean.toFixed(3)),
  programs: results,
}
mkdirSync(`${root}docs/results`, { recursive: true })
writeFileSync(`${root}docs/results/bench-jit-smoke.json`, JSON.stringify(record, null, 2) + '\n')
console.log(`bench-jit-smoke: ratio ${geomean.toFixed(2)}`)
