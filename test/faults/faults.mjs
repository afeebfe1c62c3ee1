// What elfbee leaves behind when it is used for long, and when things go wrong. Records the counts in
// docs/results/faults.json.
//   node test/faults/faults.mjs
//   node test/faults/faults.mjs --quick         a hundredth of the rounds, nothing recorded
//   node test/faults/faults.mjs kills flood     only these, nothing recorded
// Needs root, dist/ and the addon. Takes some four minutes.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { load, openObject } from '../../dist/loader/index.js'
import { loadBinding, openKernelBackend } from '../../dist/kernel/index.js'
import { errnoNumber } from '../../dist/uapi/index.js'
import { root, writeResult } from '../oracle/results.mjs'

const quick = process.argv.includes('--quick')
const chosen = process.argv.slice(2).filter((word) => !word.startsWith('-'))
const scale = (rounds) => (quick ? Math.ceil(rounds / 100) : rounds)
const self = fileURLToPath(import.meta.url)
const read = (path) => new Uint8Array(readFileSync(`${root}${path}`))
const descriptors = () => readdirSync('/proc/self/fd').length
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

if (process.argv[2] === '--load-once') await loadOnce(process.argv[3])
else await main()

async function main() {
  const rows = []
  for (const check of [rounds, failures, kills, flood, terminations]) {
    if (chosen.length > 0 && !chosen.includes(check.name)) continue
    const row = await check()
    rows.push(row)
    console.log(`${row.ok ? 'ok  ' : 'FAIL'} ${row.what}: ${row.found}`)
  }
  const differences = rows.filter(({ ok }) => !ok)
  const equal = rows.length - differences.length
  if (!quick && chosen.length === 0) writeResult('faults', { equal, total: rows.length, rows, differences })
  process.exit(differences.length === 0 ? 0 : 1)
}

/** Opening, loading and closing leaves no descriptor open. */
async function rounds() {
  const bytes = read('fixtures/clang19/packet_counter.bpf.o')
  const backend = openKernelBackend()
  const round = async () => (await load(openObject(bytes), backend, { strict: true })).close()
  await round()
  const before = descriptors()
  const count = scale(10_000)
  for (let i = 0; i < count; i++) await round()
  const after = descriptors()
  backend.close()
  return {
    what: `${count} objects opened, loaded and closed`,
    ok: after === before,
    found: `${before} descriptors, then ${after}`,
  }
}

/** Nor does a load in which any system call fails. */
async function failures() {
  const { binding } = loadBinding()
  const { bpf, bpfAsync } = binding
  const bytes = read('fixtures/clang19/maps_all.bpf.o')
  const backend = openKernelBackend()
  let left = -1
  let errno = 0
  const fails = () => left >= 0 && left-- === 0
  binding.bpf = (...call) => (fails() ? -errno : bpf(...call))
  binding.bpfAsync = (...call) => (fails() ? Promise.resolve(-errno) : bpfAsync(...call))
  const attempt = async () => {
    try {
      const live = await load(openObject(bytes), backend, { strict: true })
      live.close()
      return 1
    } catch (error) {
      if (error.code === undefined) throw error
      return 0
    }
  }
  try {
    await attempt()
    const before = descriptors()
    const count = scale(1000)
    let refused = 0
    for (let i = 0; i < count; i++) {
      // Every call in turn; what a load can do without (types of a map) is not an error.
      left = i % 40
      errno = errnoNumber(['EPERM', 'ENOSPC', 'EINVAL', 'ENOMEM'][i % 4])
      refused += 1 - (await attempt())
    }
    left = -1
    const after = descriptors()
    const what = `${count} loads in which one system call fails`
    return {
      what,
      ok: after === before && refused > 0,
      found: `${refused} refused; ${before} descriptors, then ${after}`,
    }
  } finally {
    Object.assign(binding, { bpf, bpfAsync })
    backend.close()
  }
}

/** A process that is killed while it loads leaves all of its pins, or none. */
async function kills() {
  const count = scale(100)
  const outcomes = { none: 0, all: 0, some: 0 }
  const bpffs = mkdtempSync(join(tmpdir(), 'elfbee-faults-'))
  execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs])
  try {
    for (let i = 0; i < count; i++) {
      const directory = `${bpffs}/${i}`
      mkdirSync(directory)
      const child = spawn(process.execPath, [self, '--load-once', directory], { stdio: ['ignore', 'pipe', 'inherit'] })
      await new Promise((resolve) => child.stdout.once('data', resolve))
      await sleep((i * 37) % 400)
      child.kill('SIGKILL')
      await new Promise((resolve) => child.once('exit', resolve))
      const { length } = readdirSync(directory)
      outcomes[length === 0 ? 'none' : length === Object.keys(pinningObject().maps).length ? 'all' : 'some']++
    }
  } finally {
    execFileSync('umount', [bpffs])
    rmdirSync(bpffs)
  }
  const found = `nothing pinned ${outcomes.none} times, all ${outcomes.all}, a part ${outcomes.some}`
  return {
    what: `${count} processes killed while they load`,
    ok: outcomes.some === 0 && (quick || outcomes.all > 0),
    found,
  }
}

/** All maps of it are pinned by name. */
function pinningObject() {
  const spec = openObject(read('fixtures/clang19/maps_all.bpf.o'), { name: 'maps_all.bpf.o' })
  for (const map of Object.values(spec.maps)) map.pinning = 'by-name'
  return spec
}

/** Loads once, and waits to be killed. */
async function loadOnce(directory) {
  const backend = openKernelBackend()
  console.log('ready')
  await load(pinningObject(), backend, { strict: true, pinRoot: directory })
  setInterval(() => {}, 1000)
}

/** Every event of a producer that never stops is handed out, or was dropped by the kernel, which the program counts. */
async function flood() {
  const seconds = quick ? 2 : 60
  const backend = openKernelBackend()
  const live = await load(openObject(read('test/kernel/links/objects/events.bpf.o')), backend, { strict: true })
  const { events } = live.maps
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const producer = new Worker(self.replace('faults.mjs', 'producer.mjs'), {
    workerData: { id: live.programs.write_ring.raw.id, stop },
  })
  const sent = new Promise((resolve) => producer.once('message', resolve))
  const reader = events.events().listen(() => {})
  await sleep(seconds * 1000)
  Atomics.store(stop, 0, 1)
  const total = await sent
  const accounted = () => reader.counters.consumed + Number(live.variables.dropped.get())
  for (let tries = 0; accounted() < total && tries < 500; tries++) await sleep(10)
  const { consumed } = reader.counters
  const dropped = Number(live.variables.dropped.get())
  reader.close()
  live.close()
  backend.close()
  const found = `${total} sent = ${consumed} received + ${dropped} dropped by the kernel`
  return { what: `a ring buffer flooded for ${seconds} s`, ok: consumed + dropped === total && consumed > 0, found }
}

/** A worker that is terminated while it polls takes nothing along. */
async function terminations() {
  const count = scale(300)
  const before = descriptors()
  for (let i = 0; i < count; i++) {
    const worker = new Worker(self.replace('faults.mjs', 'poller.mjs'))
    await new Promise((resolve) => worker.once('message', resolve))
    await sleep(i % 5)
    await worker.terminate()
  }
  await sleep(50)
  const after = descriptors()
  const found = `${before} descriptors, then ${after}`
  return { what: `${count} workers terminated while they poll`, ok: after <= before + 2, found }
}
