// Differential fuzzing: random programs that the kernel's verifier accepts run in the kernel, in the vm's JIT with what
// the vm's verifier has proved and without it, and in its interpreter on the same inputs; return value, packet or
// context, and maps must be equal.
//
//   node test/oracle/fuzz-programs.mjs [--count N] [--seed FIRST] [--inputs N] [--only SEED] [--minutes N] [--no-record]
//   node test/oracle/fuzz-programs.mjs --continue [--count N]    goes on from the recorded result and adds to it
//   node test/oracle/fuzz-programs.mjs --bless
//
// `count` is the number of accepted programs. Seeds that differ are printed, shrunk and added to
// fuzz-programs-regressions.json, which the tests run. Writes docs/results/fuzz-programs.json. --bless records what the
// kernel does with a few seeds in fuzz-programs-golden.json, for tests without a kernel.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { isBpfError } from '../../dist/bytes/index.js'
import { assemble } from '../../dist/isa/index.js'
import { openKernelBackend, vmlinuxBtf } from '../../dist/kernel/index.js'
import { createVm } from '../../dist/vm/index.js'
import { generateInput, generateProgram } from './fuzz-programs-generate.mjs'
import { Side, hex, outcome, prepareInsns } from './fuzz-programs-run.mjs'
import { root, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const option = (name, fallback) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : fallback)
const INPUTS = option('--inputs', 10)
/** What --continue goes on from. */
const before = args.includes('--continue')
  ? JSON.parse(readFileSync(`${root}docs/results/fuzz-programs.json`, 'utf8'))
  : null
const FIRST = before === null ? option('--seed', 1) : Number(before.seeds.split(' ').at(-1)) + 1
const only = option('--only', null)
const COUNT = only === null ? option('--count', 1000) : 1
const END = Date.now() + option('--minutes', 100000) * 60000
const RECORD = !args.includes('--no-record') && only === null
/** The vm keeps what programs take until it is closed. */
const PROGRAMS_PER_VM = 400
const REGRESSIONS = `${root}test/oracle/fuzz-programs-regressions.json`

const prepareText = (type, text) => prepareInsns(type, assemble(text))
const backend = openKernelBackend()
const kernel = new Side('kernel', backend)
const kernelBtf = vmlinuxBtf()
let verified = null
let unverified = []
const openVms = () => {
  closeVms()
  const { cpus } = backend
  verified = new Side('verified', createVm({ cpus, btf: kernelBtf }))
  unverified = [true, false].map((jit) => new Side(jit ? 'jit' : 'interpreter', createVm({ verify: false, cpus, jit })))
}
function closeVms() {
  for (const side of [verified, ...unverified]) side?.backend.close()
}

function runAll(side, program, inputs) {
  side.reset()
  const results = inputs.map((input) => outcome(program, input))
  return { results, maps: side.contents() }
}

/** What differs between the kernel and the vm, if anything; `refused` says why the verifier refuses the program. */
function compare(type, text, inputs, kernelText = text, sides = [verified, ...unverified]) {
  let prepared
  let inKernel
  try {
    prepared = prepareText(type, kernelText)
    inKernel = kernel.load(prepared)
  } catch (error) {
    if (!isBpfError(error)) throw error
    return { refused: error.message.trim().split('\n')[0] }
  }
  try {
    const expected = runAll(kernel, inKernel, inputs)
    for (const side of sides) {
      let got
      try {
        const program = side.load(prepareText(type, text))
        got = runAll(side, program, inputs)
        program.close()
      } catch (error) {
        return {
          engine: side.name,
          what: 'load',
          vm: isBpfError(error) ? error.message : String(error.stack),
          expected,
        }
      }
      const at = got.results.findIndex((result, i) => result !== expected.results[i])
      if (at >= 0) {
        return {
          engine: side.name,
          what: 'result',
          input: at,
          kernel: expected.results[at],
          vm: got.results[at],
          expected,
        }
      }
      if (got.maps !== expected.maps) {
        return { engine: side.name, what: 'maps', kernel: expected.maps, vm: got.maps, expected }
      }
    }
    return { expected }
  } finally {
    inKernel.close()
  }
}

/** An atomic operation that fetches: the memory it works on, with its width, and the register that it takes. */
const FETCH = /^r\d = atomic_\w+\(\((u32|u64) \*\)\((r\d+ [+-] \d+)\).*r(\d)\)$/

/**
 * The same program, but the verifier knows nothing of what atomic operations fetch from the stack, be it the own one or
 * a caller's: Linux 6.18 does not follow precision through them and prunes states that differ, so that it takes away
 * code which is reached (docs/results/fuzz-programs.json has seeds).
 */
function withUnknownFetches(text) {
  return text.replaceAll(new RegExp(FETCH, 'gm'), (line, width, place, source) => {
    const save = `*(u64 *)(r10 - 240) = r${source}\nr${source} = 0`
    return `${save}\nlock *(${width} *)(${place}) += r${source}\nr${source} = *(u64 *)(r10 - 240)\n${line}`
  })
}

/**
 * Whether a difference is the kernel's fault: the vm does what the kernel does once its verifier knows less, but for a vm
 * with a verifier that already does what the kernel does.
 */
function isKernelBug(type, text, inputs, engine) {
  const unknown = withUnknownFetches(text)
  if (unknown === text) return false
  const found = compare(type, text, inputs, unknown, engine === verified.name ? undefined : unverified)
  return found.engine === undefined && found.refused === undefined
}

/** Takes out lines as long as the program still differs in the same way. */
function shrink(type, text, inputs, first) {
  // The kernel lets programs read stack that was never written, which taking out lines would bring about.
  const zeroed = Array.from({ length: 24 }, (_, i) => `*(u64 *)(r10 - ${8 * (i + 1)}) = 0`)
  const whole = (body) =>
    [...zeroed, ...body.flatMap((line) => (/^f\d+:$/.test(line) ? [line, ...zeroed] : [line]))].join('\n')
  let lines = text.split('\n')
  const same = (candidate) => {
    const found = compare(type, whole(candidate), inputs)
    return found.engine === first.engine && found.what === first.what && same.kind(found) === same.kind(first)
  }
  same.kind = (found) => /^(trap|unsupported|malformed)/.test(found.vm)
  for (let size = Math.max(1, lines.length >> 1); size >= 1; size >>= 1) {
    for (let at = 0; at < lines.length;) {
      const candidate = lines.toSpliced(at, size)
      if (same(candidate)) lines = candidate
      else at += size
    }
  }
  return whole(lines)
}

function describeInput(input) {
  return { ...(input.data && { data: hex(input.data) }), ...(input.ctx && { ctx: hex(input.ctx) }) }
}

if (args.includes('--bless')) {
  bless()
  process.exit(0)
}

/** Seeds that the tests run: the first ones, and those that meet the bug of the verifier. */
function bless() {
  const golden = []
  for (const seed of [...Array.from({ length: 40 }, (_, i) => i + 1), 8878, 15073, 38906]) {
    const { type, text } = generateProgram(seed)
    const inputs = Array.from({ length: 3 }, (_, i) => generateInput(seed, i, type))
    let program
    try {
      program = kernel.load(prepareText(type, withUnknownFetches(text)))
    } catch (error) {
      if (!isBpfError(error)) throw error
      continue
    }
    golden.push({ seed, ...runAll(kernel, program, inputs) })
    program.close()
  }
  const lines = golden.map((each) => JSON.stringify(each)).join(',\n')
  writeFileSync(`${root}test/oracle/fuzz-programs-golden.json`, `[\n${lines}\n]\n`)
}

const started = Date.now()
let accepted = 0
let equal = 0
let generated = 0
let insns = 0
const refusals = new Map(Object.entries(before?.refusedByTheVerifier ?? {}))
const differences = before?.differences ?? []
/** Seeds that meet the bug of the verifier, which do not count. */
const kernelBugs = before?.verifierPrunesAtomicFetch ?? []
const hash = createHash('sha256').update(before?.kernelResultsSha256 ?? '')
for (let seed = only ?? FIRST; accepted < COUNT && Date.now() < END; seed++) {
  if (generated++ % PROGRAMS_PER_VM === 0) openVms()
  const { type, text } = generateProgram(seed)
  if (only !== null) console.log(`${type}\n${text}`)
  const inputs = Array.from({ length: INPUTS }, (_, i) => generateInput(seed, i, type))
  let found = compare(type, text, inputs)
  // Between two runs the kernel may go on on another CPU, with other per-CPU values.
  for (let i = 0; i < 3 && found.what === 'maps'; i++) found = compare(type, text, inputs)
  if (found.refused !== undefined) {
    const reason = found.refused.replace(/-?\b(0x[0-9a-f]+|\d+)\b/g, 'N').slice(0, 80)
    refusals.set(reason, (refusals.get(reason) ?? 0) + 1)
    if (only !== null) console.log(found.refused)
    if (only !== null) break
    continue
  }
  accepted++
  insns += text.split('\n').length
  hash.update(found.expected.results.join('\n') + found.expected.maps)
  if (found.engine === undefined) equal++
  else if (isKernelBug(type, text, inputs, found.engine)) {
    console.log(`seed ${seed}: the verifier prunes what it must not (atomic fetch from the stack)`)
    kernelBugs.push(seed)
    accepted--
  } else {
    console.log(`seed ${seed}: ${found.engine} ${found.what}: kernel ${found.kernel} vm ${found.vm}`)
    openVms()
    const again = compare(type, text, inputs)
    const small = again.engine === undefined ? text : shrink(type, text, inputs, found)
    const shrunk = compare(type, small, inputs)
    console.log(`${small}\n`)
    differences.push({
      seed,
      type,
      engine: found.engine,
      what: found.what,
      kernel: shrunk.kernel ?? found.kernel,
      vm: shrunk.vm ?? found.vm,
      text: small,
      alone: again.engine !== undefined,
    })
    if (RECORD) {
      const all = existsSync(REGRESSIONS) ? JSON.parse(readFileSync(REGRESSIONS, 'utf8')) : []
      const { results, maps } = shrunk.expected ?? found.expected
      all.push({ seed, type, text: small, inputs: inputs.map(describeInput), results, maps, cpus: backend.cpus })
      writeFileSync(REGRESSIONS, `${JSON.stringify(all, null, 1)}\n`)
    }
    if (differences.length >= 20) break
    openVms()
  }
  if (accepted % 1000 === 0) {
    const rate = (accepted / ((Date.now() - started) / 1000)).toFixed(0)
    console.log(
      `${accepted} programs (${generated} generated), ${accepted - equal} differ, ${rate}/s, next seed ${seed + 1}`,
    )
    if (RECORD) record(seed)
  }
  if (only !== null) console.log(found)
}
function record(last, print = false) {
  const log = console.log
  if (!print) console.log = () => {}
  writeResult('fuzz-programs', {
    equal: equal + (before?.equal ?? 0),
    total: accepted + (before?.total ?? 0),
    inputsPerProgram: INPUTS,
    seeds: `${before?.seeds.split(' ')[0] ?? FIRST} to ${last}`,
    generated: generated + (before?.generated ?? 0),
    linesPerProgram: Number((insns / Math.max(1, accepted)).toFixed(1)),
    minutes: Number(((Date.now() - started) / 60000 + (before?.minutes ?? 0)).toFixed(1)),
    refusedByTheVerifier: Object.fromEntries([...refusals].sort((a, b) => b[1] - a[1]).slice(0, 10)),
    kernelResultsSha256: hash.copy().digest('hex'),
    verifierPrunesAtomicFetch: kernelBugs,
    differences,
  })
  console.log = log
}
if (RECORD) record(FIRST + generated - 1, true)
else
  console.log(
    `fuzz-programs: ${equal} of ${accepted} (${generated} generated)`,
    [...refusals].sort((a, b) => b[1] - a[1]).slice(0, 12),
  )
closeVms()
kernel.close()
backend.close()
process.exitCode = equal === accepted ? 0 : 1
