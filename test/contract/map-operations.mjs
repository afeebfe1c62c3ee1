// Random operations on maps in runs of 32, by the programs of objects/map_operations.bpf.c. Imports nothing of elfbee,
// since tests have it from src and scripts from dist.
import { generator } from '../oracle/vm-inputs.mjs'

export const OPS = 32
const RING_PROGRAM = 'run_rings'
const KEYLESS = new Set(['run_queue', 'run_stack', 'run_bloom', 'run_cpus', RING_PROGRAM])
/** Programs whose operation 6 shows a value that may be gone, and whose memory the kernel may use for another at once. */
const REUSED_AT_ONCE = /^run_(hash_alloc|percpu_alloc|lru|percpu_lru|trie)/
const HELD = 6
/** Which element a full LRU map drops is the kernel's own business. */
export const OWN_RESULTS = new Set(['run_small_lru', 'run_small_percpu_lru', 'run_cpus'])

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

/** The packet of one run: what, key, value and prefix of each operation, and room for the results. */
export function operations(seed) {
  const r = generator(seed)
  const packet = new Uint8Array(OPS * 12)
  // Few keys in some runs, so that most of them are there; many in others.
  const keys = r.pick([6, 48, 256])
  const prefixes = r.pick([3, 256])
  for (let i = 0; i < OPS; i++) {
    packet.set([r.below(256), r.below(keys), r.below(256), r.below(prefixes) * (prefixes === 3 ? 15 : 1)], i * 4)
  }
  return packet
}

/** The results of one run, and the records that went to rings, which now and then fill up. */
export function performed(object, program, packet) {
  const { retval, data } = object.programs[program].run({ data: packet })
  const view = new DataView(data.buffer, data.byteOffset + OPS * 4)
  const results = Array.from({ length: OPS }, (_, i) => Number(view.getBigInt64(i * 8, true)))
  const records = []
  if (program === RING_PROGRAM && packet[0] % 4 !== 0) {
    for (const ring of ['ring', 'other_ring']) object.maps[ring].raw.drain((record) => records.push(hex(record)))
  }
  return { retval, results, records }
}

/** Results without those that are the kernel's own business. */
export function comparable(program, packet, results) {
  if (!REUSED_AT_ONCE.test(program)) return results
  return results.map((result, i) => (packet[i * 4] % 7 === HELD ? null : result))
}

/** Keys and values of the map that a program is for, in no order. */
export function contentsFor(object, program) {
  if (KEYLESS.has(program)) return []
  const map = object.maps[program.replace('run_', '')].raw
  // The inner maps are seen through the programs.
  if (map.type === 12 || map.type === 13) return []
  const entries = []
  for (let key = map.nextKey(null); key !== null; key = map.nextKey(key)) {
    entries.push(`${hex(key)}=${hex(map.lookup(key) ?? [])}`)
  }
  return entries.sort()
}
