// How fast a ring buffer of 16-byte records is drained, against libbpf's ring_buffer__consume() in the same run: with a
// callback that reads one field of the bytes, and with one that gets the record by its C type. Writes
// docs/results/bench-ringbuf.json.
//
//   node bench/ringbuf.mjs [--rounds N]
//
// Needs root, what bench/peer/build.sh makes, and dist/. Each way has its own process, as libbpf has; rounds alternate
// between them, and each side counts with its median.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { oracleDir, writeResult } from '../test/oracle/results.mjs'

const RECORDS = 100_000
const RING_BYTES = 32 << 20
const DRAINS = 20
/** Drains that V8 takes to compile what it runs. */
const WARM_UP = 5
const LIMITS = { bytes: 2, typed: 5 }
const self = fileURLToPath(import.meta.url)
const object = fileURLToPath(new URL('../test/kernel/links/objects/events.bpf.o', import.meta.url))

if (process.argv[2] === '--child') await child(process.argv[3])
else parent(process.argv[2] === '--rounds' ? Number(process.argv[3]) : 9)

function parent(rounds) {
  const peer = `${oracleDir()}/bench/libbpf-ringbuf`
  if (!existsSync(peer)) throw new Error(`run bench/peer/build.sh first: there is no ${peer}`)
  const samples = { libbpf: [], bytes: [], typed: [] }
  let libbpf = ''
  for (let round = 0; round < rounds; round++) {
    const theirs = JSON.parse(execFileSync(peer, [object, RECORDS, DRAINS], { encoding: 'utf8' }))
    libbpf = theirs.libbpf
    samples.libbpf.push(...theirs.ns.slice(WARM_UP))
    for (const way of Object.keys(LIMITS)) {
      const ns = JSON.parse(execFileSync(process.execPath, [self, '--child', way], { encoding: 'utf8' }))
      samples[way].push(...ns.slice(WARM_UP))
    }
  }
  const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]
  const round2 = (value) => Math.round(value * 100) / 100
  const theirs = median(samples.libbpf)
  const rows = Object.entries(LIMITS).map(([way, limit]) => {
    const ours = median(samples[way])
    const [elfbeeNs, libbpfNs] = [round2(ours / RECORDS), round2(theirs / RECORDS)]
    return { way, elfbeeNs, libbpfNs, ratio: round2(ours / theirs), limit }
  })
  for (const { way, elfbeeNs, libbpfNs, ratio, limit } of rows) {
    console.log(`${way}: ${elfbeeNs} ns a record, libbpf ${libbpfNs} ns, ratio ${ratio} (limit ${limit})`)
  }
  const differences = rows.filter(({ ratio, limit }) => ratio > limit)
  const equal = rows.length - differences.length
  const [{ ratio }, { ratio: typedRatio }] = rows
  writeResult('bench-ringbuf', {
    libbpf,
    records: RECORDS,
    rounds,
    equal,
    total: rows.length,
    ratio,
    typedRatio,
    rows,
    differences,
  })
}

async function child(way) {
  const { openKernelBackend } = await import('../dist/kernel/index.js')
  const { load, openObject } = await import('../dist/loader/index.js')
  const spec = openObject(new Uint8Array(readFileSync(object)), { name: 'events.bpf.o' })
  spec.maps.events.maxEntries = RING_BYTES
  const backend = openKernelBackend()
  const live = await load(spec, backend, { strict: true })
  const { events } = live.maps
  const packet = new Uint8Array(64)
  new DataView(packet.buffer).setUint32(0, RECORDS, true)

  let sum = 0
  let chunk = new Uint8Array(0)
  let view = new DataView(chunk.buffer)
  const drain = {
    bytes: () =>
      events.raw.consume((bytes, at) => {
        if (bytes !== chunk) {
          chunk = bytes
          view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        }
        sum = (sum + view.getUint32(at, true)) | 0
      }),
    typed: () =>
      events.consume((event) => {
        sum = (sum + event.number) | 0
      }),
  }[way]
  const ns = []
  for (let i = 0; i < DRAINS; i++) {
    live.programs.write_ring.run({ data: packet })
    const started = process.hrtime.bigint()
    const count = drain()
    ns.push(Number(process.hrtime.bigint() - started))
    if (count !== RECORDS) throw new Error(`${way}: ${count} records came`)
  }
  const expected = ((RECORDS * (RECORDS - 1)) / 2) * DRAINS
  if (sum !== (expected | 0)) throw new Error(`the records sum up to ${sum}, not ${expected | 0}`)
  console.log(JSON.stringify(ns))
  live.close()
  backend.close()
}
