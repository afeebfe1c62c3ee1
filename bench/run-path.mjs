// What it costs to run a program of the vm from JavaScript, one packet at a time and in batches, against
// BPF_PROG_TEST_RUN of the kernel called from the same process; and what instruments cost, against the program without.
// Writes docs/results/bench-run.json. Needs root (or CAP_BPF) and the built package.
//
//   node bench/run-path.mjs [ROUNDS]
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openKernelBackend } from '../dist/kernel/index.js'
import { load, openObject } from '../dist/loader/index.js'
import { parseCapture, writePcap } from '../dist/testing/index.js'
import { createVm } from '../dist/vm/index.js'
import { root, writeResult } from '../test/oracle/results.mjs'

const BARS = { runnerNs: 45, batchOverNs: 5, packetsPerSecond: 20e6, coverage: 1.25, fuel: 1.15 }
/** XDP programs that are run on a packet of 64 bytes; the first is the counter. */
const PROGRAMS = [
  ['bench/jit/objects/real.bpf.o', 'count_protocols'],
  ['fixtures/clang19/packet_counter.bpf.o', 'count_packets'],
  ['bench/jit/objects/real.bpf.o', 'firewall'],
  ['bench/jit/objects/real.bpf.o', 'rate_limit'],
  ['bench/jit/objects/tail.bpf.o', 'tail_two'],
]
const INSTRUMENTED = ['alu', 'branch', 'call', 'maps', 'memory', 'packet', 'real']
const PACKETS = 1000

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]
const geomean = (list) => Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length)
const round = (x, digits = 1) => Number(x.toFixed(digits))
const udp = Buffer.from(readFileSync(`${root}/fixtures/packets/udp.hex`, 'utf8').replace(/\s/g, ''), 'hex')
const packet = Uint8Array.from({ length: 64 }, (_, i) => udp[i] ?? i)

async function loadFile(file, backend, instrument) {
  const spec = openObject(new Uint8Array(readFileSync(`${root}/${file}`)), { name: file })
  return load(spec, backend, instrument === undefined ? {} : { instrument })
}

/** Nanoseconds of a call of `work`, which does `count` runs. */
function timed(count, work) {
  const start = performance.now()
  work()
  return ((performance.now() - start) * 1e6) / count
}

/** One program in a process of its own, as it would be in a user's: V8 then knows what is called. */
async function measureOne(file, name, rounds) {
  const vm = (await loadFile(file, createVm())).programs[name]
  const kernel = (await loadFile(file, openKernelBackend())).programs[name]
  const runner = vm.runner()
  const packets = Array.from({ length: PACKETS }, () => packet.slice())
  const records = packets.map((data) => ({ data, timestampNs: 0n, originalLength: data.length }))
  const capture = parseCapture(writePcap(records), 'bench').packets
  const many = 50_000
  const ways = {
    kernelCall: () =>
      timed(200, () => {
        for (let i = 0; i < 200; i++) kernel.run({ data: packet })
      }),
    run: () =>
      timed(5000, () => {
        for (let i = 0; i < 5000; i++) vm.run({ data: packet })
      }),
    runner: () =>
      timed(many, () => {
        for (let i = 0; i < many; i++) runner.run(packet)
      }),
    own: () => vm.run({ data: packet, repeat: many }).durationNs,
    batch: () => vm.runBatch(packets, { repeat: many / PACKETS }).durationNs,
    batchOfOne: () => vm.runBatch([packet], { repeat: many }).durationNs,
    arrays: () =>
      timed(PACKETS * 10, () => {
        for (let i = 0; i < 10; i++) vm.runBatch(packets)
      }),
    capture: () =>
      timed(PACKETS * 10, () => {
        for (let i = 0; i < 10; i++) vm.runBatch(capture)
      }),
  }
  const times = Object.fromEntries(Object.keys(ways).map((way) => [way, []]))
  for (const work of Object.values(ways)) for (let i = 0; i < 3; i++) work()
  await sleep(20)
  for (let i = 0; i < rounds; i++) for (const [way, work] of Object.entries(ways)) times[way].push(work())
  const best = Object.fromEntries(Object.entries(times).map(([way, list]) => [way, Math.min(...list)]))
  return {
    program: name,
    kernelCallNs: round(best.kernelCall),
    runNs: round(best.run),
    runnerNs: round(best.runner),
    medianRunnerNs: round(median(times.runner)),
    ownNs: round(best.own),
    batchNs: round(best.batch),
    batchOfOneNs: round(best.batchOfOne),
    batchOverOwnNs: round(best.batch - best.own),
    packetsPerSecond: Math.round(1e9 / best.batch),
    arraysPerSecond: Math.round(1e9 / best.arrays),
    capturePerSecond: Math.round(1e9 / best.capture),
    ratio: round(best.runner / best.kernelCall, 4),
  }
}

/** What an instrument costs each program of the JIT's benchmark that does not fill maps up. */
async function measureInstruments(rounds) {
  const costs = { coverage: [], count: [], fuel: [] }
  const rows = []
  for (const object of INSTRUMENTED) {
    const file = `bench/jit/objects/${object}.bpf.o`
    const plain = await loadFile(file, createVm())
    const variants = {}
    for (const instrument of Object.keys(costs)) variants[instrument] = await loadFile(file, createVm(), instrument)
    for (const [name, program] of Object.entries(plain.programs)) {
      if (name === 'fill' || /ring/.test(name)) continue
      const sides = [program, ...Object.values(variants).map((variant) => variant.programs[name])]
      const run = (side, repeat) => side.run({ data: pad(128), repeat }).durationNs
      const repeat = Math.max(2, Math.min(1e6, Math.ceil(1e6 / Math.max(1, run(program, 20)))))
      for (const side of sides) for (let i = 0; i < 3; i++) run(side, repeat)
      await sleep(5)
      const best = sides.map(() => Infinity)
      for (let i = 0; i < rounds; i++) sides.forEach((side, k) => (best[k] = Math.min(best[k], run(side, repeat))))
      const [own, ...others] = best
      const row = { program: name, class: object, ns: round(own) }
      Object.keys(costs).forEach((instrument, k) => {
        row[instrument] = round(others[k] / own, 3)
        costs[instrument].push(others[k] / own)
      })
      rows.push(row)
    }
  }
  const summary = Object.fromEntries(Object.entries(costs).map(([k, list]) => [k, round(geomean(list), 3)]))
  return { summary, rows }
}

const pad = (size) => Uint8Array.from({ length: size }, (_, i) => udp[i] ?? (i * 7 + 3) & 0xff)

if (process.argv[2] === '--one') {
  const [, , , file, name, rounds] = process.argv
  console.log(JSON.stringify(await measureOne(file, name, Number(rounds))))
} else {
  const rounds = Number(process.argv[2] ?? 25)
  const self = fileURLToPath(import.meta.url)
  const rows = PROGRAMS.map(([file, name]) => {
    const row = JSON.parse(execFileSync(process.execPath, [self, '--one', file, name, String(rounds)]).toString())
    console.log(JSON.stringify(row))
    return row
  })
  const instruments = await measureInstruments(rounds)
  console.log(JSON.stringify(instruments.summary))
  const [counter] = rows
  const met = {
    runnerNs: counter.runnerNs <= BARS.runnerNs,
    batchOverNs: rows.every((row) => row.batchOverOwnNs <= BARS.batchOverNs),
    packetsPerSecond: counter.packetsPerSecond >= BARS.packetsPerSecond,
    coverage: instruments.summary.coverage <= BARS.coverage,
    fuel: instruments.summary.fuel <= BARS.fuel,
  }
  writeResult('bench-run', {
    // A run from JavaScript against the kernel's test run.
    ratio: round(geomean(rows.map((row) => row.ratio)), 3),
    rounds,
    bars: BARS,
    met,
    instruments: instruments.summary,
    rows,
    instrumentRows: instruments.rows,
  })
}
