// Runs every fixture program that BPF_PROG_TEST_RUN takes in the kernel, in the vm's JIT and in its interpreter, on the
// same random inputs, and compares return value (or errno), packet, context, maps and events.
//
//   node test/oracle/vm-vs-kernel.mjs [--inputs N] [FILTER]    writes docs/results/vm-vs-kernel.json (not with FILTER)
import { openKernelBackend } from '../../dist/kernel/index.js'
import { load, openObject } from '../../dist/loader/index.js'
import { progTypeName } from '../../dist/uapi/index.js'
import { createVm } from '../../dist/vm/index.js'
import { writeResult } from './results.mjs'
import { generator } from './vm-inputs.mjs'
import {
  CLEARED,
  CONTEXTS,
  EXCLUDED,
  HELPERS,
  PACKETS,
  hex,
  makeInput,
  mapsOf,
  objectsOf,
  pinToOneCpu,
  runOne,
  seedOf,
} from './vm-vs-kernel-runs.mjs'

pinToOneCpu()

const FOLDERS = ['clang19', 'clang14']
/** Maps are compared after so many runs, and at the end. */
const MAPS_EVERY = 25
const SHOWN = 3
const args = process.argv.slice(2)
const inputsAt = args.indexOf('--inputs')
const INPUTS = inputsAt < 0 ? 1000 : Number(args.splice(inputsAt, 2)[1])
const filter = args[0] ?? ''

const kernel = openKernelBackend()
const btf = kernel.kernelBtf()

function backends() {
  // The JIT relies on what the verifier has proved, the interpreter checks everything.
  const vm = (jit) => createVm({ verify: jit, btf, cpus: kernel.cpus, jit, task: currentTask() })
  return { kernel, jit: vm(true), interpreter: vm(false) }
}

function currentTask() {
  return { pid: process.pid, tgid: process.pid, uid: process.getuid(), gid: process.getgid(), comm: 'node' }
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

const all = []
for (const { name, bytes } of objectsOf(FOLDERS)) {
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
