// Compares the verifier's verdicts with the running kernel's over the kernel's own selftests.
//
//   node test/oracle/verifier-selftests.mjs [--source 7.2] [--only SUBSTRING] [--verbose]
//
// Needs $ELFBEE_ORACLE_DIR with objs/*.o (selftests of linux-source-6.12) and load-dump.jsonl (verdicts of the kernel, a
// line a program); with --source what `ELFBEE_ORACLE_SOURCE=7.2 test/oracle/prepare/prepare.sh` made of another series,
// whose selftests nobody looked at when the verifier was written. A program is decided when the kernel accepted it, or refused it with a verifier log; the rest failed
// for other reasons (missing test modules, policy). A program that the kernel refuses and we accept is a FALSE ACCEPT.
// Messages are the last line of the log at level 1 (verifier-messages.mjs compares more of it).
import { corpus, lastLogLine, sameLastLine } from './lib/verifier-corpus.mjs'
import { oracleDir, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : null
const verbose = args.includes('--verbose')
const source = args.includes('--source') ? args[args.indexOf('--source') + 1] : '6.12'
const result = source === '6.12' ? 'verifier-selftests' : `verifier-selftests-${source}`
const ERRNO = {
  1: 'EPERM',
  2: 'ENOENT',
  7: 'E2BIG',
  12: 'ENOMEM',
  13: 'EACCES',
  14: 'EFAULT',
  17: 'EEXIST',
  22: 'EINVAL',
  34: 'ERANGE',
  95: 'EOPNOTSUPP',
  524: 'ENOTSUPP',
}

const ONE = { logLevel: 1 }
const counts = { agree: 0, falseAccept: 0, falseRefuse: 0, total: 0, messages: 0, refusals: 0, errnos: 0, crash: 0 }
const causes = new Map()
const differences = []
let timeMs = 0

function note(kind, v, r) {
  const words = (kind === 'false accept' ? v.lastLogLine : (r.message ?? '')).replace(/\d+/g, 'N')
  const cause = `${kind}: ${words}`
  causes.set(cause, (causes.get(cause) ?? 0) + 1)
  differences.push({
    program: `${v.obj}/${v.prog}`,
    kind,
    kernel: v.ok ? 'ok' : v.lastLogLine,
    elfbee: r.ok ? 'ok' : `${r.errno}: ${r.message}`,
    insn: r.insn,
  })
}

for (const { file, verdict: v, run } of corpus(oracleDir(source), only)) {
  counts.total++
  const started = performance.now()
  const r = run()
  const took = performance.now() - started
  timeMs += took
  if (verbose && took > 1000) {
    console.log(`slow: ${file}/${v.prog} ${took.toFixed(0)} ms, ${r.stats?.insnsProcessed} insns`)
  }
  if (r.errno === 'CRASH') counts.crash++
  if (r.ok === v.ok) {
    if (!r.ok && r.errno === 'UNSUPPORTED') note('right by ignorance', v, r)
    counts.agree++
  } else {
    if (r.ok) counts.falseAccept++
    else counts.falseRefuse++
    note(r.ok ? 'false accept' : r.errno === 'UNSUPPORTED' ? 'unsupported' : 'false refuse', v, r)
    if (verbose) console.log(JSON.stringify(differences.at(-1)))
  }
  if (!v.ok) {
    counts.refusals++
    // Where more lines follow the message (endless loops), and where libbpf wrote into it, the log's last line decides.
    const isSame = r.message === lastLogLine(v.lastLogLine) || (!r.ok && sameLastLine(run(ONE).log, v.lastLogLine))
    if (isSame) counts.messages++
    else if (!r.ok && r.errno !== 'UNSUPPORTED') note('other words', v, r)
    if (!r.ok && r.errno === ERRNO[v.errno]) counts.errnos++
  }
}

const sorted = [...causes].sort((a, b) => b[1] - a[1])
if (args.includes('--causes')) for (const [cause, n] of sorted.slice(0, 60)) console.log(n, cause)
const ignorant = differences.filter((d) => d.kind === 'right by ignorance').length
console.log(`FALSE ACCEPTS: ${counts.falseAccept}; refused rightly, but only because unsupported: ${ignorant}`)
console.log(
  `same message: ${counts.messages} of ${counts.refusals} refusals, same errno: ${counts.errnos}; crashes: ${counts.crash}; ${timeMs.toFixed(0)} ms`,
)
if (only === null) {
  writeResult(result, {
    equal: counts.agree,
    total: counts.total,
    falseAccepts: counts.falseAccept,
    falseRefusals: counts.falseRefuse,
    sameMessage: counts.messages,
    sameErrno: counts.errnos,
    refusals: counts.refusals,
    causes: Object.fromEntries(sorted),
    rightByIgnorance: differences.filter((d) => d.kind === 'right by ignorance').length,
    otherWords: differences.filter((d) => d.kind === 'other words'),
    differences: differences.filter((d) => d.kind !== 'other words' && d.kind !== 'right by ignorance'),
  })
} else console.log(`${result} (${only}): ${counts.agree} of ${counts.total}`)
