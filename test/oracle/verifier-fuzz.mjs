// Random programs, judged by the running kernel and by elfbee's verifier: every difference is a bug here.
//
//   node test/oracle/verifier-fuzz.mjs [--seed N] [--count N] [--seconds N] [--log] [--capbpf]
//
// Programs of arithmetic, branches, loops, stack, map values and packets with fixed and variable offsets, atomics,
// helpers, functions and kernel functions (verifier-fuzz-generate.mjs). Each difference is printed with its seed and with the smallest
// part of the program that still shows it; `--seed` of it with `--count 1` repeats that one. With `--log` the full logs
// (level 2) have to be equal as well. With `--capbpf` the verifier judges for those without CAP_PERFMON, as the kernel
// does when the fuzzer runs by `setpriv --bounding-set -all,+bpf,+net_admin --inh-caps -all,+bpf,+net_admin node ...`.
// Needs root, and the addon (npm run build:native or a prebuilt one).
import { readFileSync } from 'node:fs'
import { kernelLines } from '../../dist/isa/index.js'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { verify } from '../../dist/vm/verifier/index.js'
import { writeResult } from './results.mjs'
import { generator, MAP, randomProgram, randomSteps } from './verifier-fuzz-generate.mjs'

const args = process.argv.slice(2)
const option = (name, otherwise) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : otherwise)
const first = option('--seed', 1)
const count = option('--count', Number.POSITIVE_INFINITY)
const until = Date.now() + option('--seconds', Number.isFinite(count) ? 1e6 : 20) * 1000
const kernel = openKernelBackend()
const kernelBtf = kernel.kernelBtf()
/** The kernel bounds what bpf_get_smp_processor_id gives by the processors that the machine may have. */
const cpus = Number(readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim().split('-').at(-1)) + 1

const map = kernel.createMap({ spec: MAP, kernelName: 'values', btf: null, inner: null })
const options = { maps: { values: MAP }, btf: null, kernelBtf, license: 'GPL', cpus }
if (args.includes('--capbpf')) options.capabilities = ['bpf', 'net_admin']
/** What both say of a program. */
function judge(steps) {
  const program = randomProgram(steps, kernelBtf)
  const created = new Map([['values', map]])
  const request = { program, license: 'GPL', version: 0, btf: null, maps: created, bindMaps: [], logLevel: 0 }
  let log = null
  try {
    kernel.loadProgram(request).close()
  } catch (error) {
    log = error.log ?? error.message
  }
  const result = verify(program, options)
  return { accepted: log === null, log: log ?? '', result, insns: program.insns }
}

/** First line of the level-2 logs that differs, null when there is none; addresses count as equal. */
function logDifference(steps) {
  const program = randomProgram(steps, kernelBtf)
  const created = new Map([['values', map]])
  let log
  try {
    const request = { program, license: 'GPL', version: 0, btf: null, maps: created, bindMaps: [], logLevel: 2 }
    const loaded = kernel.loadProgram(request)
    log = loaded.log
    loaded.close()
  } catch (error) {
    log = error.log ?? ''
  }
  const plain = (text) => text.replace(/(\(18\) r\d+ = 0x)[0-9a-f]+ */g, '$1').split('\n')
  const ours = plain(verify(program, { ...options, logLevel: 2 }).log)
  const theirs = plain(log)
  const at = theirs.findIndex((line, i) => line !== ours[i])
  return at < 0 ? null : `line ${at + 1}: elfbee: ${ours[at]}; kernel: ${theirs[at]}`
}

/** Leaves out steps as long as the difference stays. */
function shrink(steps, isAccepted) {
  let small = steps
  for (let i = 0; i < small.length;) {
    const without = small.filter((_, at) => at !== i)
    const { accepted, result } = judge(without)
    if (accepted === isAccepted && result.ok !== accepted) small = without
    else i++
  }
  return small
}

const started = Date.now()
function progress(seed) {
  const rate = Math.round(counts.programs / ((Date.now() - started) / 1000))
  console.error(`${counts.programs} programs, ${differences.length} differ, ${rate}/s, next seed ${seed + 1}`)
}

const counts = { programs: 0, accepted: 0, falseAccepts: 0, falseRefusals: 0, refusals: 0, sameMessage: 0 }
const differences = []
for (let seed = first; counts.programs < count && Date.now() < until; seed++) {
  const steps = randomSteps(generator(seed))
  const { accepted, log, result } = judge(steps)
  counts.programs++
  if (counts.programs % 10_000 === 0) progress(seed)
  if (accepted) counts.accepted++
  else {
    counts.refusals++
    if (result.message !== undefined && log.includes(result.message)) counts.sameMessage++
  }
  if (args.includes('--log')) {
    const difference = logDifference(steps)
    if (difference === null) counts.sameLogs = (counts.sameLogs ?? 0) + 1
    else console.log(`other log: seed ${seed}: ${difference}`)
  }
  if (result.ok === accepted) continue
  if (result.ok) counts.falseAccepts++
  else counts.falseRefusals++
  const kind = result.ok ? 'FALSE ACCEPT' : 'false refusal'
  const words = accepted ? 'ok' : log.trim().split('\n').slice(-3).join(' | ')
  console.log(`${kind}: seed ${seed}: elfbee: ${result.message ?? 'ok'}; kernel: ${words}`)
  differences.push({ seed, kind, kernel: words, elfbee: result.message ?? 'ok' })
  const { insns } = judge(shrink(steps, accepted))
  if (differences.length <= 5)
    console.log(
      kernelLines(insns)
        .map((line) => `  ${line}`)
        .join('\n'),
    )
}
const { programs, falseAccepts, falseRefusals } = counts
console.log(JSON.stringify(counts))
if (programs >= 100_000 && !args.includes('--capbpf')) {
  writeResult('verifier-fuzz', {
    equal: programs - falseAccepts - falseRefusals,
    total: programs,
    ...counts,
    first,
    differences,
  })
} else console.log(`verifier-fuzz: ${programs - falseAccepts - falseRefusals} of ${programs}`)
map.close()
kernel.close()
process.exitCode = falseAccepts + falseRefusals === 0 ? 0 : 1
