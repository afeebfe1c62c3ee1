// Opens the running kernel's BTF and answers the first lookup, against libbpf doing the same, and prints the whole header
// as C, against bpftool; each in processes of its own, in turn. Writes docs/results/bench-open-vmlinux.json.
//
//   node bench/open-vmlinux.mjs [ROUNDS]
//
// The ratios of the smallest times count: those of a machine that did nothing else. Targets: at most 1.5 times libbpf's
// time and less memory than the file's size plus 10 MB; at most 2 times bpftool's time for the whole
// `elfbee btf dump file vmlinux format c`.
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Btf, BtfKind } from '../dist/btf/index.js'
import { oracleDir, root, writeResult } from '../test/oracle/results.mjs'

const VMLINUX = '/sys/kernel/btf/vmlinux'
const SAMPLES = 20
const MIB = 1 << 20

function openOnce() {
  const start = performance.now()
  const btf = Btf.parse(readFileSync(VMLINUX))
  const id = btf.findByName('task_struct', BtfKind.STRUCT)
  return { ns: (performance.now() - start) * 1e6, id, btf }
}

/** Runs in a process of its own: times of each round, and how much the first one added to the resident set. */
function child() {
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  const first = openOnce()
  globalThis.gc?.()
  const rssGrowthBytes = process.memoryUsage.rss() - before
  const samples = [first.ns]
  for (let i = 0; i < SAMPLES; i++) samples.push(openOnce().ns)
  console.log(JSON.stringify({ id: first.id, types: first.btf.typeCount, rssGrowthBytes, samples }))
}

function ours() {
  const output = execFileSync(process.execPath, ['--expose-gc', fileURLToPath(import.meta.url), '--child'])
  return JSON.parse(output.toString())
}

/** What the peer prints for one run of its harness; one JSON object or one a line. */
function peer() {
  const output = execFileSync(`${oracleDir()}/bench/libbpf-open`, ['--rounds', String(SAMPLES), 'btf', VMLINUX])
  const lines = output.toString().trim().split('\n')
  return lines.map((line) => JSON.parse(line))
}

function flatten(value) {
  return Array.isArray(value) ? value.flatMap(flatten) : [value]
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

const ms = (ns) => Math.round(ns / 1e4) / 100
const minimum = (values) => Math.min(...values)
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]
const ratio = (a, b) => Math.round((a / b) * 100) / 100

function main(rounds) {
  const mine = []
  const theirs = []
  const dumps = { elfbee: [], bpftool: [] }
  const cli = `${root}dist/cli/main.js`
  for (let i = 0; i < rounds; i++) {
    mine.push(ours())
    theirs.push(...peer())
    const a = timeProcess(process.execPath, [cli, 'btf', 'dump', 'file', VMLINUX, 'format', 'c'])
    const b = timeProcess(`${oracleDir()}/bpftool`, ['btf', 'dump', 'file', VMLINUX, 'format', 'c'])
    if (a.bytes !== b.bytes) throw new Error(`elfbee's header has ${a.bytes} bytes, bpftool's ${b.bytes}`)
    dumps.elfbee.push(a.ms)
    dumps.bpftool.push(b.ms)
  }
  const samples = mine.flatMap((one) => one.samples)
  const first = mine.map((one) => one.samples[0])
  const peerSamples = theirs.flatMap((one) => flatten(one.totalNs))
  const fileBytes = readFileSync(VMLINUX).length
  const growth = median(mine.map((one) => one.rssGrowthBytes))
  const table = {
    open: {
      what: 'open vmlinux BTF and find task_struct',
      elfbeeMs: { minimum: ms(minimum(samples)), median: ms(median(samples)), firstInProcess: ms(median(first)) },
      libbpfMs: { minimum: ms(minimum(peerSamples)), median: ms(median(peerSamples)) },
      ratioOfMinima: ratio(minimum(samples), minimum(peerSamples)),
      ratioOfMedians: ratio(median(samples), median(peerSamples)),
      target: 1.5,
    },
    memory: {
      fileMiB: Math.round((fileBytes / MIB) * 100) / 100,
      growthMiB: Math.round((growth / MIB) * 100) / 100,
      limitMiB: Math.round((fileBytes / MIB + 10) * 100) / 100,
    },
    dump: {
      what: 'btf dump file vmlinux format c, whole process',
      elfbeeMs: { minimum: Math.round(minimum(dumps.elfbee)), median: Math.round(median(dumps.elfbee)) },
      bpftoolMs: { minimum: Math.round(minimum(dumps.bpftool)), median: Math.round(median(dumps.bpftool)) },
      ratioOfMinima: ratio(minimum(dumps.elfbee), minimum(dumps.bpftool)),
      ratioOfMedians: ratio(median(dumps.elfbee), median(dumps.bpftool)),
      target: 2,
    },
  }
  console.log(JSON.stringify(table, null, 2))
  const met = [
    table.open.ratioOfMinima <= table.open.target,
    growth <= fileBytes + 10 * MIB,
    table.dump.ratioOfMinima <= table.dump.target,
  ]
  writeResult('bench-open-vmlinux', {
    types: mine[0].types,
    rounds,
    loadAverage: Math.round(loadavg()[0] * 10) / 10,
    ...table,
    equal: met.filter(Boolean).length,
    total: met.length,
    differences: [],
  })
}

if (process.argv.includes('--child')) child()
else if (!existsSync(VMLINUX) || statSync(VMLINUX).size === 0) console.log('no vmlinux BTF on this machine')
else main(Number(process.argv[2] ?? 7))
