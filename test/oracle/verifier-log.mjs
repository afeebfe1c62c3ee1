// Compares the verifier's costs and its log with the running kernel's, program by program over the kernel's selftests.
//
//   node test/oracle/verifier-log.mjs [--only SUBSTRING] [--causes] [--list CAUSE]
//
// Needs $ELFBEE_ORACLE_DIR with objs/*.o, load-dump.jsonl, and the logs that prepare.sh keeps in logs/LEVEL/OBJECT/PROGRAM.log
// (levels 1 and 2, each with statistics). Writes two results: verifier-counts (instructions processed and states) and
// verifier-log (text of level 2, and of level 1 for refusals; addresses and the time line masked). A difference is
// classified by the first line that differs.
import { existsSync, readFileSync } from 'node:fs'
import { corpus } from './lib/verifier-corpus.mjs'
import { oracleDir, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const option = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : null)
const only = option('--only')
const list = option('--list')
const dir = oracleDir()

const STATS =
  /processed (\d+) insns \(limit \d+\) max_states_per_insn (\d+) total_states (\d+) peak_states (\d+) mark_read \d+\n*$/

function kernelLog(level, file, program) {
  for (const [kind, whole] of [
    ['log', true],
    ['tail', false],
  ]) {
    const path = `${dir}/logs/${level}/${file}/${program}.${kind}`
    if (existsSync(path)) return { text: readFileSync(path, 'utf8'), whole }
  }
  return null
}

function statsIn(text) {
  const m = STATS.exec(text)
  return m === null ? null : m.slice(1, 5).map(Number)
}

const lines = (text) =>
  text
    .replace(/^verification time .*$/m, 'verification time')
    .trimEnd()
    .split('\n')
const ADDRESS = /^(.*\(18\) r\d+ = )0x[0-9a-f]+ *(;.*)?$/

/**
 * libbpf rewrites the log at relocations that failed: `4: <invalid CO-RE relocation>` for a call of an unknown helper, and
 * the message after it.
 */
function undoLibbpf(line) {
  return (line ?? '')
    .replace(/: <invalid CO-RE relocation>$/, ': (85) call unknown#195896080')
    .replace(/^failed to resolve CO-RE relocation .*/, 'invalid func unknown#195896080')
    .replace(/: <invalid kfunc call>$/, ': (85) call unknown#2002000000')
    .replace(/^kfunc '.*' is referenced but wasn't resolved$/, 'invalid func unknown#2002000000')
}

/** Equal, or both a 64-bit immediate of which ours is a masked address. */
function sameLine(ours, theirs) {
  if (ours === undoLibbpf(theirs)) return true
  const a = ADDRESS.exec(ours ?? '')
  const b = ADDRESS.exec(theirs ?? '')
  return a !== null && b !== null && / = 0x0\b/.test(ours) && a[1] === b[1] && a[2] === b[2]
}

/** Null when the texts are equal, otherwise where they part. */
function firstDifference(ours, theirs) {
  const a = lines(ours)
  const b = lines(theirs)
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    if (!sameLine(a[i], b[i])) return { line: i + 1, elfbee: a[i] ?? '(end)', kernel: b[i] ?? '(end)' }
  }
  return null
}

const shape = (text) =>
  text
    .replace(/0x[0-9a-f]+/g, 'X')
    .replace(/-?\d+/g, 'N')
    .slice(0, 100)

function causeOf(result, d) {
  if (result.errno === 'UNSUPPORTED' || result.errno === 'CRASH') return `${result.errno}: ${shape(result.message)}`
  return `kernel: ${shape(d.kernel)} | elfbee: ${shape(d.elfbee)}`
}

function tally() {
  return { equal: 0, total: 0, causes: new Map(), differences: [] }
}

function note(into, name, cause, difference) {
  into.causes.set(cause, (into.causes.get(cause) ?? 0) + 1)
  into.differences.push({ program: name, cause, ...difference })
  if (list !== null && cause.includes(list)) console.log(name, JSON.stringify(difference))
}

const counts = tally()
const level2 = tally()
const level1 = tally()
let tooLong = 0

function compareLog(into, result, kernel, name) {
  into.total++
  const d = firstDifference(result.log, kernel.text)
  if (d === null) into.equal++
  else note(into, name, causeOf(result, d), d)
}

for (const { file, verdict, run } of corpus(dir, only)) {
  const name = `${file}/${verdict.prog}`
  const all = kernelLog(2, file, verdict.prog)
  if (all === null) continue
  const theirs = statsIn(all.text)
  const result = run({ logLevel: all.whole ? 6 : 4, logSize: 4 << 20 })
  if (theirs !== null) {
    counts.total++
    const s = result.stats
    const ours = s === undefined ? [] : [s.insnsProcessed, s.maxStatesPerInsn, s.totalStates, s.peakStates]
    if (result.errno !== 'UNSUPPORTED' && ours.join() === theirs.join()) counts.equal++
    else {
      const known = result.errno !== 'UNSUPPORTED' && result.errno !== 'CRASH'
      const cause = known
        ? ours[0] === theirs[0]
          ? 'states'
          : result.ok === verdict.ok
            ? 'instructions'
            : 'verdict'
        : causeOf(result, null)
      note(counts, name, cause, { kernel: theirs.join(' '), elfbee: ours.join(' ') })
    }
  }
  if (all.whole) compareLog(level2, result, all, name)
  else tooLong++
  if (verdict.ok) continue
  const path = kernelLog(1, file, verdict.prog)
  if (path !== null && path.whole) compareLog(level1, run({ logLevel: 5, logSize: 4 << 20 }), path, name)
}

/** Differences by cause, with one example each. */
function classified(t) {
  return [...t.causes]
    .sort((a, b) => b[1] - a[1])
    .map(([cause, count]) => {
      const { program, line, kernel, elfbee } = t.differences.find((d) => d.cause === cause)
      return { count, cause, program, line, kernel: kernel?.slice(0, 200), elfbee: elfbee?.slice(0, 200) }
    })
}

const sorted = (t) => Object.fromEntries([...t.causes].sort((a, b) => b[1] - a[1]))
function printCauses(title, t) {
  console.log(`== ${title}: ${t.equal} of ${t.total}`)
  for (const [cause, n] of Object.entries(sorted(t)).slice(0, Number(option('--top') ?? 40))) console.log(n, cause)
}

if (args.includes('--causes')) {
  printCauses('counts', counts)
  printCauses('level 2', level2)
  printCauses('level 1', level1)
}
console.log(`logs over 1 MiB, not compared: ${tooLong}`)
console.log(`level-1 text of refusals: ${level1.equal} of ${level1.total}`)
if (only === null && list === null) {
  writeResult('verifier-counts', {
    equal: counts.equal,
    total: counts.total,
    causes: sorted(counts),
    differences: counts.differences,
  })
  writeResult('verifier-log', {
    equal: level2.equal,
    total: level2.total,
    tooLong,
    refusals: { equal: level1.equal, total: level1.total, differences: classified(level1) },
    differences: classified(level2),
  })
} else {
  console.log(`verifier-counts (${only}): ${counts.equal} of ${counts.total}`)
  console.log(`verifier-log (${only}): ${level2.equal} of ${level2.total}`)
}
