// Runs every fixture program that BPF_PROG_TEST_RUN takes in the kernel, in the vm's JIT and in its interpreter, on the
// same random inputs, and compares return value (or errno), packet, context, maps and events.
//
//   node test/oracle/vm-vs-kernel.mjs [--inputs N] [FILTER]    writes docs/results/vm-vs-kernel.json (not with FILTER)
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { isBpfError } from '../../dist/bytes/index.js'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { load, openObject } from '../../dist/loader/index.js'
import { ProgType, MapType, progTypeName } from '../../dist/uapi/index.js'
import { createVm } from '../../dist/vm/index.js'
import { root, writeResult } from './results.mjs'
import { generator, packet, skbContext, words, xdpContext } from './vm-inputs.mjs'

const FOLDERS = ['clang19', 'clang14']
/** Maps are compared after so many runs, and at the end. */
const MAPS_EVERY = 25
const SHOWN = 3
/** Programs whose result depends on more than the input. */
const EXCLUDED = {
  read_current: 'reads the task that calls',
  kconfig: 'the configuration of the running kernel',
  ksyms: 'addresses of the running kernel',
  ksyms_typed: 'addresses of the running kernel',
}
/** Parts of events that differ by nature, cleared before they are compared. */
const CLEARED = [{ object: /tracing$/, map: 'events', start: 0, end: 8, what: 'bpf_ktime_get_ns' }]
const PACKETS = new Set([
  ProgType.XDP,
  ProgType.SCHED_CLS,
  ProgType.SCHED_ACT,
  ProgType.SOCKET_FILTER,
  ProgType.CGROUP_SKB,
])
const CONTEXTS = new Set([ProgType.RAW_TRACEPOINT, ProgType.SYSCALL])

/** Name that the object compiled from vm-vs-kernel-helpers.bpf.c has in results. */
const HELPERS = 'oracle/helpers'

const args = process.argv.slice(2)
const inputsAt = args.indexOf('--inputs')
const INPUTS = inputsAt < 0 ? 1000 : Number(args.splice(inputsAt, 2)[1])
const filter = args[0] ?? ''

// One CPU, so that per-CPU values are those of the same CPU everywhere.
if (process.env.ELFBEE_PINNED !== '1') {
  const pinned = spawnSync('taskset', ['-c', '0', process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, ELFBEE_PINNED: '1' },
  })
  process.exit(pinned.status ?? 1)
}

const kernel = openKernelBackend()
const btf = kernel.kernelBtf()

function backends() {
  const vm = (jit) => createVm({ btf, cpus: kernel.cpus, jit, task: currentTask() })
  return { kernel, jit: vm(true), interpreter: vm(false) }
}

function currentTask() {
  return { pid: process.pid, tgid: process.pid, uid: process.getuid(), gid: process.getgid(), comm: 'node' }
}

/** A test input for a program type; the helpers object takes its arguments from the context. */
function makeInput(r, type, always) {
  if (!PACKETS.has(type)) return { ctx: words(r, type === ProgType.SYSCALL ? 4 : 3 + r.below(4)) }
  const data = packet(r)
  if (!(always && type !== ProgType.XDP) && !r.chance(30)) return { data }
  return { data, ctx: type === ProgType.XDP ? xdpContext(r, data) : skbContext(r, data) }
}

/** The raw tracepoint test takes no repeat and gives no context. */
function runOne(program, input) {
  try {
    const { retval, data, ctx } = program.run(input)
    return { retval, data: data === null ? null : hex(data), ctx: ctx === null ? null : hex(ctx) }
  } catch (error) {
    if (!isBpfError(error)) throw error
    return error.code === 'syscall' ? { errno: error.errno } : { error: `${error.code}: ${error.message}` }
  }
}

function hex(bytes) {
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

function mapsOf(loaded, object) {
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

function difference(a, b) {
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const left = JSON.stringify(a[key])
    const right = JSON.stringify(b[key])
    if (left !== right) return { what: key, kernel: shorten(left), vm: shorten(right) }
  }
  return null
}

function shorten(text) {
  return text === undefined ? 'nothing' : text.length > 400 ? `${text.slice(0, 400)}...` : text
}

/** Compiles the programs that call one helper each; null when there is no compiler. */
function compileHelpers() {
  const dir = mkdtempSync(join(tmpdir(), 'elfbee-'))
  const object = join(dir, 'helpers.bpf.o')
  const source = `${root}test/oracle/vm-vs-kernel-helpers.bpf.c`
  const options = ['-g', '-O2', '-mcpu=v3', '--target=bpf', '-I/usr/include/x86_64-linux-gnu']
  try {
    execFileSync('clang-19', [...options, '-c', source, '-o', object], { stdio: 'inherit' })
    return new Uint8Array(readFileSync(object))
  } catch (error) {
    console.log(`${HELPERS} is left out: ${error.message}`)
    return null
  } finally {
    rmSync(dir, { recursive: true })
  }
}

async function compareObject(bytes, name) {
  const programs = []
  let names
  try {
    names = Object.values(openObject(bytes, { name }).programs).map((p) => ({ name: p.name, type: p.type }))
  } catch (error) {
    return [{ program: name, error: `open: ${error.message}` }]
  }
  for (const { name: program, type } of names) {
    if (!PACKETS.has(type) && !CONTEXTS.has(type)) continue
    if (!`${name}/${program}`.includes(filter)) continue
    const record = { program: `${name}/${program}`, type: progTypeName(type), inputs: INPUTS }
    programs.push(record)
    if (EXCLUDED[program] !== undefined) {
      record.excluded = EXCLUDED[program]
      continue
    }
    Object.assign(record, await compareProgram(bytes, name, program, type))
  }
  return programs
}

async function compareProgram(bytes, object, program, type) {
  const loaded = {}
  const vms = backends()
  try {
    for (const [which, backend] of Object.entries(vms)) {
      const spec = openObject(bytes, { name: object })
      // Optional programs too.
      spec.programs[program].autoload = true
      loaded[which] = await load(spec, backend, {})
    }
    const missing = Object.entries(loaded).filter(([, l]) => l.programs[program] === undefined)
    if (loaded.kernel.programs[program] === undefined) {
      const entry = loaded.kernel.report.programs.find((p) => p.name === program)
      return {
        excluded: `the kernel does not load it: ${entry?.status} ${entry?.error?.message?.split('\n')[0] ?? ''}`,
      }
    }
    if (missing.length > 0) {
      const [which, l] = missing[0]
      const entry = l.report.programs.find((p) => p.name === program)
      return { differences: [{ engine: which, what: 'load', vm: String(entry?.error?.message ?? entry?.status) }] }
    }
    // Opens the buffers of perf event arrays.
    for (const l of Object.values(loaded)) mapsOf(l, object)
    return compareRuns(loaded, object, program, type)
  } catch (error) {
    return { differences: [{ what: 'error', vm: error.stack }] }
  } finally {
    for (const l of Object.values(loaded)) l.close()
    vms.jit.close()
    vms.interpreter.close()
  }
}

function compareRuns(loaded, object, program, type) {
  const differences = []
  let failed = 0
  const r = generator(seedOf(`${object}/${program}`))
  const setup = loaded.kernel.programs.fill_example
  if (setup !== undefined && program !== 'fill_example') {
    for (const l of Object.values(loaded)) l.programs.fill_example.run({ data: new Uint8Array(64) })
  }
  for (let i = 0; i < INPUTS && differences.length < SHOWN; i++) {
    const input = makeInput(r, type, object === HELPERS)
    const results = {}
    for (const [which, l] of Object.entries(loaded)) results[which] = runOne(l.programs[program], input)
    if (results.kernel.errno !== undefined) failed++
    const compare = (make) => {
      const expected = make('kernel')
      for (const engine of ['jit', 'interpreter']) {
        const found = difference(expected, make(engine))
        if (found !== null) {
          differences.push({
            engine,
            run: i,
            data: input.data && shorten(hex(input.data)),
            ctx: input.ctx && shorten(hex(input.ctx)),
            ...found,
          })
        }
      }
    }
    compare((which) => results[which])
    if (i % MAPS_EVERY === MAPS_EVERY - 1 || i === INPUTS - 1) {
      const maps = {}
      for (const [which, l] of Object.entries(loaded)) maps[which] = mapsOf(l, object)
      compare((which) => maps[which])
    }
  }
  return { refused: failed, differences }
}

function seedOf(text) {
  let seed = 7
  for (const c of text) seed = (Math.imul(seed, 31) + c.charCodeAt(0)) | 0
  return seed
}

const objects = []
for (const folder of FOLDERS) {
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

const all = []
for (const { name, bytes } of objects) {
  for (const record of await compareObject(bytes, name)) {
    all.push(record)
    const bad = record.error !== undefined || (record.differences?.length ?? 0) > 0
    if (bad) console.log(`DIFFERS ${record.program}`, JSON.stringify(record.error ?? record.differences, null, 1))
    else if (filter !== '') {
      console.log(record.excluded ? `excluded ${record.program}: ${record.excluded}` : `same ${record.program}`)
    }
  }
}
kernel.close()

const compared = all.filter((p) => p.excluded === undefined)
const equal = compared.filter((p) => p.error === undefined && p.differences.length === 0)
const result = {
  equal: equal.length,
  total: compared.length,
  inputs: INPUTS,
  cleared: CLEARED.map(({ object, ...rest }) => ({ object: object.source, ...rest })),
  excluded: all.filter((p) => p.excluded !== undefined).map(({ program, excluded }) => ({ program, reason: excluded })),
  differences: compared.filter((p) => !equal.includes(p)),
  programs: equal.map(({ program, type, refused }) => ({ program, type, refused })),
}
if (filter === '') writeResult('vm-vs-kernel', result)
else console.log(`vm-vs-kernel: ${result.equal} of ${result.total}`)
process.exitCode = result.equal === result.total ? 0 : 1
