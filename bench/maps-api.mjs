// What maps cost through the API: lookups against the bare system call, and reading a hash of 1,000,000 entries against
// `bpftool map dump` of the same map. Writes docs/results/bench-maps-api.json.
//
//   node bench/maps-api.mjs [--rounds N]
//
// Needs root, bpftool and what bench/peer/build.sh makes, and dist/. Rounds alternate between the sides, which count with
// their medians.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openKernelBackend } from '../dist/kernel/index.js'
import { load, openObject } from '../dist/loader/index.js'
import { oracleDir, toolVersion, writeResult } from '../test/oracle/results.mjs'

const LOOKUPS = 100_000
const KEYS = 1024
const ENTRIES = 1_000_000
const LIMITS = { lookup: 3, dump: 2 }
const object = fileURLToPath(new URL('../fixtures/clang19/maps_all.bpf.o', import.meta.url))

const rounds = process.argv[2] === '--rounds' ? Number(process.argv[3]) : 5
const dir = oracleDir()
const peer = `${dir}/bench/libbpf-maps`
const bpftool = existsSync(`${dir}/bpftool`) ? `${dir}/bpftool` : 'bpftool'
if (!existsSync(peer)) throw new Error(`run bench/peer/build.sh first: there is no ${peer}`)

const backend = openKernelBackend()
const samples = {}
const add = (name, ns) => (samples[name] ??= []).push(...ns)
const timed = (work) => {
  const started = process.hrtime.bigint()
  work()
  return Number(process.hrtime.bigint() - started)
}

// u32 keys, u64 values.
const live = await hashOf(KEYS)
const map = live.maps.hash
for (let key = 0; key < KEYS; key++) map.set(key, key)
const big = await hashOf(ENTRIES)
const step = 10_000
const keys = new Uint32Array(step)
const values = new BigUint64Array(step)
for (let first = 0; first < ENTRIES; first += step) {
  for (let i = 0; i < step; i++) values[i] = BigInt((keys[i] = first + i)) * 3n
  big.maps.hash.raw.updateBatch(new Uint8Array(keys.buffer), new Uint8Array(values.buffer))
}

for (let round = 0; round < rounds; round++) {
  const bare = JSON.parse(execFileSync(peer, [LOOKUPS, 3], { encoding: 'utf8' }))
  add('bare', bare.ns.slice(1))
  for (let i = 0; i < 3; i++) {
    add('typed lookups', [
      timed(() => {
        for (let n = 0; n < LOOKUPS; n++) if (map.get(n % KEYS) !== BigInt(n % KEYS)) throw new Error(`wrong value`)
      }),
    ])
    const key = new Uint8Array(4)
    const view = new DataView(key.buffer)
    add('lookups of bytes', [
      timed(() => {
        for (let n = 0; n < LOOKUPS; n++) {
          view.setUint32(0, n % KEYS, true)
          if (map.raw.lookup(key)[0] !== (n & 255)) throw new Error('wrong value')
        }
      }),
    ])
  }
  add('entries', [
    timed(() => {
      let count = 0
      for (const [key, value] of big.maps.hash.entries()) {
        if (value !== BigInt(key) * 3n) throw new Error('wrong entry')
        count++
      }
      if (count !== ENTRIES) throw new Error(`${count} entries`)
    }),
  ])
  add('bpftool', [
    timed(() => execFileSync(bpftool, ['-j', 'map', 'dump', 'id', big.maps.hash.raw.id], { stdio: 'ignore' })),
  ])
}
live.close()
big.close()
backend.close()

const median = (name) => samples[name].toSorted((a, b) => a - b)[samples[name].length >> 1]
const round2 = (value) => Math.round(value * 100) / 100
const row = (what, peerName, per, limit) => ({
  what,
  elfbeeNs: Math.round(median(what) / per),
  peer: peerName,
  peerNs: Math.round(median(peerName) / per),
  ratio: round2(median(what) / median(peerName)),
  limit,
})
const rows = [
  row('typed lookups', 'bare', LOOKUPS, LIMITS.lookup),
  row('lookups of bytes', 'bare', LOOKUPS, LIMITS.lookup),
  row('entries', 'bpftool', ENTRIES, LIMITS.dump),
]
for (const { what, elfbeeNs, peer: other, peerNs, ratio, limit } of rows) {
  console.log(`${what}: ${elfbeeNs} ns each, ${other} ${peerNs} ns, ratio ${ratio} (limit ${limit})`)
}
const differences = rows.filter(({ ratio, limit }) => ratio > limit)
writeResult('bench-maps-api', {
  bpftool: toolVersion(bpftool),
  rounds,
  equal: rows.length - differences.length,
  total: rows.length,
  ratio: Math.max(...rows.slice(0, 2).map(({ ratio }) => ratio)),
  dumpRatio: rows[2].ratio,
  rows,
  differences,
})

async function hashOf(maxEntries) {
  const spec = openObject(new Uint8Array(readFileSync(object)), { name: 'maps_all.bpf.o' })
  for (const program of Object.values(spec.programs)) program.autoload = false
  spec.maps.hash.maxEntries = maxEntries
  return load(spec, backend)
}
