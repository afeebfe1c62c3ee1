// What the verifier says when it refuses, against what the running kernel says: the final line of the log, the failing
// instruction, and the messages that the selftests expect (`__msg`), as far as this kernel prints them.
//
//   node test/oracle/verifier-messages.mjs [--only SUBSTRING] [--verbose]
//
// Needs $ELFBEE_ORACLE_DIR with objs/*.o, load-dump.jsonl and logs/ (prepare.sh logs). `equal` of `total` counts the
// final lines of refusals; `expected` and `printed` the annotations.
import { existsSync, readFileSync } from 'node:fs'
import { BtfKind } from '../../dist/btf/index.js'
import { corpus, FROM_LIBBPF, lastLogLine, sameLastLine } from './lib/verifier-corpus.mjs'
import { oracleDir, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : null
const verbose = args.includes('--verbose')
const dir = oracleDir()

const MESSAGE = 'comment:test_expect_msg='
/** Costs at the end of the log, as in the kernel's recorded logs. */
const STATS = 4
const LEVEL = 'comment:test_log_level='

function kernelLog(level, file, program) {
  const path = `${dir}/logs/${level}/${file}/${program}.log`
  return existsSync(path) ? readFileSync(path, 'utf8') : null
}

/** Instruction that the last line with one is about, -1 when the walk did not begin. */
function lastInsn(log) {
  const all = [...log.matchAll(/^(\d+): \([0-9a-f]{2}\)/gm)]
  return all.length === 0 ? -1 : Number(all.at(-1)[1])
}

const annotations = new Map()

/** Messages that an object's programs are expected to cause: by program, in order, with the level of the log. */
function annotationsOf(spec) {
  if (annotations.has(spec)) return annotations.get(spec)
  const byProgram = new Map()
  for (const type of spec.btf?.types() ?? []) {
    if (type.kind !== BtfKind.DECL_TAG) continue
    const isMessage = type.name.startsWith(MESSAGE)
    if (!isMessage && !type.name.startsWith(LEVEL)) continue
    const func = spec.btf.type(type.type)
    if (!byProgram.has(func.name)) byProgram.set(func.name, { level: 1, messages: [] })
    const entry = byProgram.get(func.name)
    if (!isMessage) entry.level = Number(type.name.slice(LEVEL.length)) & 3
    else {
      const [, order, text] = /^(\d+)=([^]*)$/.exec(type.name.slice(MESSAGE.length))
      entry.messages.push({ order: Number(order), text })
    }
  }
  for (const entry of byProgram.values()) entry.messages.sort((a, b) => a.order - b.order)
  annotations.set(spec, byProgram)
  return byProgram
}

/** `text {{regular expression}} text` as a regular expression. */
function pattern(text) {
  const parts = text.split(/\{\{([^]*?)\}\}/)
  return new RegExp(parts.map((part, i) => (i % 2 ? `(?:${part})` : escape(part))).join(''), 'gm')
}

const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** Where a message ends that is looked for from a place on, -1 when it is not there. */
function find(log, text, from) {
  const re = pattern(text)
  re.lastIndex = from
  return re.exec(log) === null ? -1 : re.lastIndex
}

const counts = { total: 0, equal: 0, sameInsn: 0, insns: 0, expected: 0, printed: 0, programs: 0 }
const differences = []
const missing = []
const elsewhere = []
for (const { file, spec, verdict, run } of corpus(dir, only)) {
  const name = `${file}/${verdict.prog}`
  const expected = spec === null ? undefined : annotationsOf(spec).get(verdict.prog)
  const level = expected?.level === 2 ? 2 : 1
  if (verdict.ok && (expected === undefined || expected.messages.length === 0)) continue
  const result = run({ logLevel: level | STATS })
  const theirs = kernelLog(level, file, verdict.prog)
  if (!verdict.ok) {
    counts.total++
    const ours = lastLogLine(result.log)
    const kernel = lastLogLine(verdict.lastLogLine)
    if (sameLastLine(result.log, verdict.lastLogLine)) counts.equal++
    else {
      differences.push({ program: name, kernel, elfbee: ours })
      if (verbose) console.log(JSON.stringify(differences.at(-1)))
    }
    // libbpf also puts its line in the place of the instruction.
    if (theirs !== null && !FROM_LIBBPF.test(kernel)) {
      counts.insns++
      if (lastInsn(theirs) === lastInsn(result.log)) counts.sameInsn++
      else elsewhere.push({ program: name, kernel: lastInsn(theirs), elfbee: lastInsn(result.log), message: kernel })
    }
  }
  if (expected === undefined || theirs === null) continue
  let [there, here] = [0, 0]
  let counted = false
  for (const { text } of expected.messages) {
    const next = find(theirs, text, there)
    if (next < 0) continue
    there = next
    counted = true
    counts.expected++
    const mine = find(result.log, text, here)
    if (mine >= 0) {
      here = mine
      counts.printed++
    } else {
      missing.push({ program: name, message: text })
      if (verbose) console.log(JSON.stringify(missing.at(-1)))
    }
  }
  if (counted) counts.programs++
}
console.log(
  `same failing instruction: ${counts.sameInsn} of ${counts.insns}; expected messages printed: ${counts.printed} of ${counts.expected} in ${counts.programs} programs`,
)
if (only === null) writeResult('verifier-messages', { ...counts, differences, elsewhere, missing })
else console.log(`verifier-messages (${only}): ${counts.equal} of ${counts.total}`)
