// Shared by vm-vs-kernel.mjs and vm-vs-kernel-bless.mjs: which programs are run, on what, and what of it is compared.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { isBpfError } from '../../dist/bytes/index.js'
import { MapType, ProgType } from '../../dist/uapi/index.js'
import { root } from './results.mjs'
import { packet, skbContext, words, xdpContext } from './vm-inputs.mjs'

/** Programs whose result depends on more than the input. */
export const EXCLUDED = {
  read_current: 'reads the task that calls',
  kconfig: 'the configuration of the running kernel',
  ksyms: 'addresses of the running kernel',
  ksyms_typed: 'addresses of the running kernel',
}
/** Parts of events that differ by nature, cleared before they are compared. */
export const CLEARED = [
  { object: /tracing$/, map: 'events', start: 0, end: 8, what: 'bpf_ktime_get_ns' },
  // The kernel pads raw samples with what the buffer held before.
  { object: /tracing$/, map: 'events', start: 56, end: 60, what: 'padding of the perf sample' },
  { object: /maps_all$/, map: 'perf', start: 16, end: 20, what: 'padding of the perf sample' },
]
export const PACKETS = new Set([
  ProgType.XDP,
  ProgType.SCHED_CLS,
  ProgType.SCHED_ACT,
  ProgType.SOCKET_FILTER,
  ProgType.CGROUP_SKB,
])
export const CONTEXTS = new Set([ProgType.RAW_TRACEPOINT, ProgType.SYSCALL])

/** Name that the object compiled from vm-vs-kernel-helpers.bpf.c has in results. */
export const HELPERS = 'oracle/helpers'

/** Runs this script again on one CPU, so that per-CPU values are those of the same CPU everywhere. */
export function pinToOneCpu() {
  if (process.env.ELFBEE_PINNED === '1') return
  const pinned = spawnSync('taskset', ['-c', '0', process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, ELFBEE_PINNED: '1' },
  })
  process.exit(pinned.status ?? 1)
}

/** A test input for a program type; the helpers object takes its arguments from the context. */
export function makeInput(r, type, always) {
  if (!PACKETS.has(type)) return { ctx: words(r, type === ProgType.SYSCALL ? 4 : 3 + r.below(4)) }
  const data = packet(r)
  // Not for XDP, where the kernel takes 16 ms to get ready for more than one run.
  const repeat = type !== ProgType.XDP && r.chance(10) ? { repeat: 2 + r.below(3) } : {}
  if (!(always && type !== ProgType.XDP) && !r.chance(30)) return { data, ...repeat }
  return { data, ctx: type === ProgType.XDP ? xdpContext(r, data) : skbContext(r, data), ...repeat }
}

export function runOne(program, input) {
  try {
    const { retval, data, ctx } = program.run(input)
    return { retval, data: data === null ? null : hex(data), ctx: ctx === null ? null : hex(ctx) }
  } catch (error) {
    if (!isBpfError(error)) throw error
    return error.code === 'syscall' ? { errno: error.errno } : { error: `${error.code}: ${error.message}` }
  }
}

export function hex(bytes) {
  return Buffer.from(bytes).toString('hex')
}

const EVENTS = new Set([MapType.RINGBUF, MapType.PERF_EVENT_ARRAY])
/** Maps without contents to read, and maps whose values are numbers of the backend. */
const SKIPPED_MAPS = new Set([
  MapType.PROG_ARRAY,
  MapType.ARRAY_OF_MAPS,
  MapType.HASH_OF_MAPS,
  MapType.STACK_TRACE,
  MapType.STRUCT_OPS,
  MapType.TASK_STORAGE,
  MapType.SK_STORAGE,
  MapType.INODE_STORAGE,
  MapType.CGRP_STORAGE,
])

function contents(map, cleared) {
  const raw = map.raw ?? map
  if (EVENTS.has(raw.type)) {
    const events = []
    raw.drain((data) => {
      cleared?.forEach(({ start, end }) => data.fill(0, start, end))
      events.push(hex(data))
    })
    return events
  }
  if (SKIPPED_MAPS.has(raw.type)) return null
  if (raw.keySize === 0) {
    const top = raw.lookup(new Uint8Array(0))
    return top === null ? [] : [hex(top)]
  }
  const entries = []
  for (let key = raw.nextKey(null); key !== null; key = raw.nextKey(key)) {
    const value = raw.lookup(key)
    entries.push(`${hex(key)}=${value === null ? '' : hex(value)}`)
  }
  return entries.sort()
}

export function mapsOf(loaded, object) {
  const all = {}
  for (const [name, map] of Object.entries(loaded.maps)) {
    // Facts of the machine, not of the program.
    if (!name.endsWith('.kconfig'))
      all[name] = contents(
        map,
        CLEARED.filter((c) => c.object.test(object) && c.map === name),
      )
  }
  return all
}

/** Debian's name of the directory with the kernel headers of this architecture. */
function multiarch() {
  return `${execFileSync('uname', ['-m']).toString().trim()}-linux-gnu`
}

/** Compiles the programs that call one helper each; null when there is no compiler. */
export function compileHelpers() {
  const dir = mkdtempSync(join(tmpdir(), 'elfbee-'))
  const object = join(dir, 'helpers.bpf.o')
  // A relative name and no DWARF, so that the object names no path of this machine.
  const options = [
    '-g',
    '-O2',
    '-mcpu=v3',
    '--target=bpf',
    '-fdebug-compilation-dir=.',
    '-idirafter',
    `/usr/include/${multiarch()}`,
  ]
  try {
    execFileSync('clang-19', [...options, '-c', 'vm-vs-kernel-helpers.bpf.c', '-o', object], {
      stdio: 'inherit',
      cwd: `${root}test/oracle`,
    })
    execFileSync('llvm-strip-19', ['-g', object], { stdio: 'inherit' })
    return new Uint8Array(readFileSync(object))
  } catch (error) {
    console.log(`${HELPERS} is left out: ${error.message}`)
    return null
  } finally {
    rmSync(dir, { recursive: true })
  }
}

export function seedOf(text) {
  let seed = 7
  for (const c of text) seed = (Math.imul(seed, 31) + c.charCodeAt(0)) | 0
  return seed
}

/** The objects of folders in fixtures, and the compiled helpers. */
export function objectsOf(folders) {
  const objects = []
  for (const folder of folders) {
    for (const file of readdirSync(`${root}fixtures/${folder}`).sort()) {
      if (!file.endsWith('.bpf.o')) continue
      objects.push({
        name: `${folder}/${basename(file, '.bpf.o')}`,
        bytes: new Uint8Array(readFileSync(`${root}fixtures/${folder}/${file}`)),
      })
    }
  }
  const helpers = compileHelpers()
  if (helpers !== null) objects.push({ name: HELPERS, bytes: helpers })
  return objects
}
