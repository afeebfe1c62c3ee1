// The kernel's selftests with small random changes, judged by the running kernel and by elfbee's verifier: programs with
// maps, kernel functions, objects and callbacks of which most are wrong in some way. Nothing is run.
//
//   node test/oracle/verifier-mutate.mjs [--count N] [--seed N] [--only SUBSTRING] [--each N] [--source 7.2] [--flags N]
//   node test/oracle/verifier-mutate.mjs --only OBJECT --program NAME --seed N [--source 7.2] [--flags N]
//
// Compares `--count` changed programs (default 4000), `--each` of a program (default 20); objects are taken in random
// order. Prints what differs, and writes docs/results/verifier-mutate.json unless an option says what to change. The
// second form repeats one change with the seed that was printed, and prints both logs. Needs root, the addon, and
// $ELFBEE_ORACLE_DIR with objs/*.o and load-dump.jsonl; for --source see verifier-selftests.mjs. --flags are added to those
// that the program is loaded with: 1 (BPF_F_STRICT_ALIGNMENT), 8 (BPF_F_TEST_STATE_FREQ), 128
// (BPF_F_TEST_REG_INVARIANTS).
import { readFileSync } from 'node:fs'
import { InsnBuffer } from '../../dist/isa/index.js'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { load, openObject } from '../../dist/loader/index.js'
import { verify } from '../../dist/vm/verifier/index.js'
import { decidedPrograms, MISSING } from './lib/verifier-corpus.mjs'
import { oracleDir, possibleCpus, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const option = (name, otherwise) => (args.includes(name) ? args[args.indexOf(name) + 1] : otherwise)
let state = Number(option('--seed', 1)) | 0
const count = Number(option('--count', 4000))
const each = Number(option('--each', 20))
const only = option('--only', '')
const program = option('--program', null)
const flags = Number(option('--flags', 0))
const dir = oracleDir(option('--source', undefined))
const repeated = state
/** Longer programs take too much time. */
const MAX_LENGTH = 400
const STRUCT_OPS = 27

function random() {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
const below = (n) => Math.floor(random() * n)
const pick = (list) => list[below(list.length)]

const NUMBERS = [0, 1, -1, 2, 4, 7, 8, 12, 16, 24, 32, 63, 64, 255, 4096, 0x7fffffff, -0x80000000, -8, -16]
const MOV = 0xbf
const SKIP = 0x05
const CALL = 0x85
const LOAD64 = 0x18
const EXIT = 0x95

/** One to three changes of instructions that stand for nothing else (no maps, no functions of the kernel). */
function changed(insns, fixed) {
  const copy = new InsnBuffer(insns.length)
  for (const field of ['code', 'dst', 'src', 'off', 'imm']) copy[field].set(insns[field])
  for (let n = 1 + below(3); n > 0; n--) {
    const i = below(copy.length)
    if (!fixed.has(i)) change(copy, i, fixed)
  }
  return copy
}

function change(insns, i, fixed) {
  const code = insns.code[i]
  const kind = code & 7
  const put = (...row) => ['code', 'dst', 'src', 'off', 'imm'].forEach((field, k) => (insns[field][i] = row[k]))
  const isJump = (kind === 5 || kind === 6) && code !== CALL && code !== EXIT
  switch (below(7)) {
    case 0:
      return code === CALL ? undefined : put(SKIP, 0, 0, 0, 0)
    case 1:
      if (code !== CALL && (code & 8) === 0)
        insns.imm[i] = random() < 0.5 ? pick(NUMBERS) : insns.imm[i] + pick([-1, 1, 8])
      return
    case 2:
      if (kind <= 3 && code !== LOAD64) insns.off[i] += pick([-8, -4, -1, 1, 4, 8, 16])
      return
    case 3:
      if (!isJump && code !== CALL && code !== EXIT) insns.dst[i] = below(10)
      return
    case 4:
      if ((kind === 1 || kind === 3 || (code & 8) !== 0) && code !== CALL) insns.src[i] = below(11)
      return
    case 5:
      if (isJump && (code & 0xf0) !== 0)
        insns.code[i] = (code & 0x0f) | pick([0x10, 0x20, 0x30, 0x50, 0x60, 0x70, 0xa0])
      return
    default:
      if (i + 1 >= insns.length || fixed.has(i + 1) || isJump || code === EXIT) return
      return put(MOV, below(10), below(11), 0, 0)
  }
}

/** Slots that must stay: maps, kernel functions and calls of the program's own functions. */
function fixedSlots(program) {
  const fixed = new Set()
  for (const { insn } of program.lateReferences) fixed.add(insn).add(insn + 1)
  const { insns } = program
  for (let i = 0; i < insns.length; i++) {
    if (insns.code[i] === LOAD64) fixed.add(i).add(i + 1)
    if (insns.code[i] === CALL && insns.src[i] !== 0) fixed.add(i)
  }
  return fixed
}

const kernel = openKernelBackend()
const counts = { total: 0, equal: 0, accepted: 0, falseAccepts: 0, falseRefusals: 0, unsupported: 0, sameMessage: 0 }
const differences = []

/** The kernel's answer, null when it refused before or after its verifier. */
function ask(request) {
  try {
    const loaded = kernel.loadProgram(request)
    loaded.close()
    return { ok: true, log: loaded.log }
  } catch (error) {
    const log = error.log ?? ''
    return log === '' ? null : { ok: false, log }
  }
}

function compare(spec, file, request, seed) {
  const theirs = ask(request)
  if (theirs === null) return
  const options = {
    maps: spec.maps,
    btf: spec.btf,
    kernelBtf: kernel.kernelBtf(),
    license: spec.license,
    missingHelpers: MISSING,
    cpus: possibleCpus(),
  }
  const ours = verify(request.program, options)
  if (program !== null) console.log(theirs.log, verify(request.program, { ...options, logLevel: 2 }).log)
  counts.total++
  if (theirs.ok) counts.accepted++
  if (ours.ok === theirs.ok) {
    counts.equal++
    if (!ours.ok && theirs.log.includes(ours.message)) counts.sameMessage++
    return
  }
  if (ours.errno === 'UNSUPPORTED') counts.unsupported++
  else if (ours.ok) counts.falseAccepts++
  else counts.falseRefusals++
  const words = theirs.log.split('\n').filter((l) => l !== '' && !/^(processed|verification|stack depth)/.test(l))
  differences.push({
    program: `${file}/${request.program.spec.name}`,
    seed,
    kernel: theirs.ok ? 'ok' : words.slice(-2).join(' | '),
    elfbee: ours.ok ? 'ok' : `${ours.errno}: ${ours.message} (insn ${ours.insn})`,
  })
  console.log(`${ours.ok ? 'FALSE ACCEPT' : 'refusal'} ${JSON.stringify(differences.at(-1))}`)
}

const decided = decidedPrograms(dir)
const files = [...decided.keys()].filter((file) => file.includes(only))
while (counts.total < count) {
  const file = pick(files)
  const names = new Set(decided.get(file).map((v) => v.prog))
  let spec
  try {
    spec = openObject(readFileSync(`${dir}/objs/${file}`), { name: file })
  } catch {
    continue
  }
  // Constants of the kernel's configuration are filled in on the way to the kernel only.
  if (spec.maps['.kconfig'] !== undefined) continue
  // Stands for the kernel: each program is loaded with changes instead of as it is.
  const backend = new Proxy(kernel, {
    get(target, name) {
      if (name === 'loadProgramAsync') return undefined
      if (name === 'close') return () => {}
      if (name !== 'loadProgram') {
        const value = target[name]
        return typeof value === 'function' ? value.bind(target) : value
      }
      return (request) => {
        const { insns, spec: its } = request.program
        if (names.has(its.name) && insns.length <= MAX_LENGTH && its.type !== STRUCT_OPS) {
          const fixed = fixedSlots(request.program)
          for (let n = 0; n < (program === null ? each : 1) && counts.total < count; n++) {
            if (program !== null) state = repeated
            const seed = state
            const changedProgram = {
              ...request.program,
              spec: { ...its, flags: its.flags | flags },
              insns: changed(insns, fixed),
            }
            compare(spec, file, { ...request, program: changedProgram, logLevel: program === null ? 0 : 2 }, seed)
          }
        }
        return target.loadProgram(request)
      }
    },
  })
  try {
    const loaded = await load(spec, backend, { programs: [program ?? pick([...names])] })
    loaded.close()
  } catch (error) {
    if (error.code === undefined) throw error
  }
  if (program !== null) break
}
console.log(JSON.stringify(counts))
if (args.length === 0) writeResult('verifier-mutate', { ...counts, differences })
else console.log(`verifier-mutate: ${counts.equal} of ${counts.total}`)
kernel.close()
