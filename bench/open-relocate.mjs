// How long elfbee takes to open vmlinux BTF and to open and relocate an object with 5,000 CO-RE relocations, against
// libbpf doing the same in the same run. Writes docs/results/bench-open-relocate.json.
//
//   node bench/open-relocate.mjs [--rounds N]
//
// Needs the oracle directory with what bench/peer/build.sh makes, and dist/. Rounds alternate between the two sides.
// `cold` is the first call in a fresh process, which for elfbee includes compiling its JavaScript; `warm` is a later one in
// the same process. Each side counts with its best time over all rounds: on a shared machine the rest is noise.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { oracleDir, writeResult } from '../test/oracle/results.mjs'

const VMLINUX = '/sys/kernel/btf/vmlinux'
const WARM_CALLS = 15
const self = fileURLToPath(import.meta.url)
/** The limit: elfbee may take this many times what libbpf takes. */
const LIMIT = 1.5
/** And hold this many bytes more than the BTF has. */
const MEMORY_SLACK = 10 << 20

if (process.argv[2] === '--child') await child(...process.argv.slice(3))
else parent()

function parent() {
  const rounds = process.argv[2] === '--rounds' ? Number(process.argv[3]) : 7
  const dir = `${oracleDir()}/bench`
  const peer = `${dir}/libbpf-open`
  const object = `${dir}/core-5000.bpf.o`
  if (!existsSync(peer) || !existsSync(object)) throw new Error(`run bench/peer/build.sh first: ${dir} lacks its files`)

  const samples = {}
  const add = (key, values) => (samples[key] ??= []).push(...values)
  let libbpf = ''
  for (let round = 0; round < rounds; round++) {
    for (const [what, file] of [
      ['btf', VMLINUX],
      ['object', object],
    ]) {
      const ours = JSON.parse(run(process.execPath, [self, '--child', 'time', what, file]))
      add(`${what} elfbee cold`, ours.ns.slice(0, 1))
      add(`${what} elfbee warm`, ours.ns.slice(1))
      const cold = JSON.parse(run(peer, ['--cold', '--rounds', '1', what, file]))
      const warm = JSON.parse(run(peer, ['--rounds', what === 'btf' ? '10' : '3', what, file]))
      add(`${what} libbpf cold`, cold.totalNs)
      add(`${what} libbpf warm`, warm.totalNs)
      libbpf = cold.libbpf
    }
  }

  const rows = [
    ['open vmlinux BTF and find the first type', 'btf'],
    ['open an object and apply 5,000 CO-RE relocations, opening vmlinux BTF', 'object'],
  ].flatMap(([what, key]) =>
    ['cold', 'warm'].map((mode) => {
      const elfbeeMs = Math.min(...samples[`${key} elfbee ${mode}`]) / 1e6
      const libbpfMs = Math.min(...samples[`${key} libbpf ${mode}`]) / 1e6
      return { what, mode, elfbeeMs: round2(elfbeeMs), libbpfMs: round2(libbpfMs), ratio: round2(elfbeeMs / libbpfMs) }
    }),
  )
  const fileBytes = readFileSync(VMLINUX).length
  const heldBytes = Number(run(process.execPath, ['--expose-gc', self, '--child', 'memory', 'btf', VMLINUX]))
  const memoryRow = {
    what: 'memory held by vmlinux BTF after a lookup',
    heldBytes,
    limitBytes: fileBytes + MEMORY_SLACK,
  }
  for (const row of rows)
    console.log(`${row.mode} ${row.what}: ${row.elfbeeMs} ms, libbpf ${row.libbpfMs} ms, ratio ${row.ratio}`)
  console.log(`${memoryRow.what}: ${heldBytes} bytes of ${memoryRow.limitBytes}`)

  const worst = (mode) => Math.max(...rows.filter((row) => row.mode === mode).map((row) => row.ratio))
  const ratio = worst('warm')
  const coldRatio = worst('cold')
  const missed = rows.filter((row) => row.ratio > LIMIT)
  const total = rows.length + 1
  const equal = rows.length - missed.length + (heldBytes < memoryRow.limitBytes ? 1 : 0)
  const differences = missed.map((row) => ({ ...row, limit: LIMIT }))
  console.log(`first call in a fresh process: ratio ${coldRatio}`)
  writeResult('bench-open-relocate', {
    libbpf,
    rounds,
    limit: LIMIT,
    equal,
    total,
    ratio,
    coldRatio,
    rows,
    memory: memoryRow,
    differences,
  })
}

function run(command, args) {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 24 })
}

async function child(mode, what, file) {
  const { Btf, BtfKind } = await import('../dist/btf/index.js')
  const { openObject, prepare } = await import('../dist/loader/index.js')
  const { readKernelBtf } = await import('../dist/kernel/index.js')
  const read = (path) => (path === VMLINUX ? readKernelBtf('vmlinux') : readFileSync(path))
  const work = {
    btf: () => {
      const btf = Btf.parse(read(file))
      if (btf.findByName('task_struct', BtfKind.STRUCT) === undefined) throw new Error('task_struct was not found')
      return btf
    },
    object: () => {
      const spec = openObject(read(file), { name: 'core-5000.bpf.o' })
      const { programs } = prepare(spec, { kernelBtf: Btf.parse(read(VMLINUX)) })
      const failed = programs.find((program) => !program.ok)
      if (failed !== undefined) throw failed.error
      return programs
    },
  }[what]

  if (mode === 'memory') {
    globalThis.gc()
    const before = process.memoryUsage()
    const result = work()
    globalThis.gc()
    const after = process.memoryUsage()
    if (result === null) throw new Error('no result')
    console.log(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers)
    return
  }
  // No forced garbage collection between calls: it makes V8 drop what it has learned about the code.
  const ns = []
  for (let i = 0; i <= WARM_CALLS; i++) {
    const started = performance.now()
    work()
    ns.push((performance.now() - started) * 1e6)
  }
  console.log(JSON.stringify({ ns }))
}

function round2(value) {
  return Math.round(value * 100) / 100
}
