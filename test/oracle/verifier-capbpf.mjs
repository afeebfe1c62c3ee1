// Compares the verifier's verdicts for those who have CAP_BPF and CAP_NET_ADMIN only (no CAP_PERFMON) with the running
// kernel's, over its selftests: no address may get out, pointers may not move where a processor could run ahead, and the
// paths of such a processor are walked as well.
//
//   node test/oracle/verifier-capbpf.mjs [--only SUBSTRING] [--verbose]
//
// Needs $ELFBEE_ORACLE_DIR with objs/*.o and capbpf.jsonl: the lines of
//   cd objs; ls | grep bpf.o | LC_ALL=C sort | ../load-dump --caps 39,12 - > ../capbpf.jsonl
import { errnoName } from '../../dist/uapi/index.js'
import { corpus, lastLogLine, sameLastLine } from './lib/verifier-corpus.mjs'
import { oracleDir, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : null
const verbose = args.includes('--verbose')

const counts = { total: 0, falseAccepts: 0, falseRefusals: 0, messages: 0, errnos: 0, refusals: 0, ignorant: 0 }
const causes = new Map()
const differences = []
for (const { file, verdict: v, run } of corpus(oracleDir(), only, 'capbpf.jsonl')) {
  counts.total++
  const r = run({ capabilities: ['bpf', 'net_admin'], logLevel: 1 })
  const ours = r.ok ? 'ok' : r.errno === 'UNSUPPORTED' ? r.message : lastLogLine(r.log)
  const kernel = v.ok ? 'ok' : lastLogLine(v.lastLogLine)
  const sameWords = !v.ok && !r.ok && sameLastLine(r.log, v.lastLogLine)
  const sameErrno = !v.ok && r.errno === errnoName(v.errno)
  if (!v.ok) {
    counts.refusals++
    if (sameWords) counts.messages++
    if (sameErrno) counts.errnos++
  }
  let kind = 'other words'
  if (r.ok && !v.ok) {
    kind = 'false accept'
    counts.falseAccepts++
  } else if (!r.ok && v.ok) {
    kind = 'false refusal'
    counts.falseRefusals++
  } else if (r.ok || (sameWords && sameErrno)) continue
  else if (r.errno === 'UNSUPPORTED') {
    kind = 'right by ignorance'
    counts.ignorant++
  }
  const cause = `${kind}: ${(r.ok ? kernel : ours).replace(/-?0x[0-9a-f]+|-?\d+/g, 'N')}`
  causes.set(cause, (causes.get(cause) ?? 0) + 1)
  const program = `${file}/${v.prog}`
  differences.push({ program, kind, kernel, elfbee: `${r.errno ?? ''} ${ours}`.trim(), insn: r.insn })
  if (verbose) console.log(JSON.stringify(differences.at(-1)))
}
const sorted = [...causes].sort((a, b) => b[1] - a[1])
for (const [cause, n] of sorted.slice(0, 30)) console.log(n, cause)
const { total, ...rest } = counts
const equal = total - counts.falseAccepts - counts.falseRefusals
console.log(
  `false accepts: ${counts.falseAccepts}; same message: ${counts.messages} of ${counts.refusals}, same errno: ${counts.errnos}`,
)
if (only === null) {
  writeResult('verifier-capbpf', { equal, total, ...rest, causes: Object.fromEntries(sorted), differences })
} else console.log(`verifier-capbpf (${only}): ${equal} of ${total}`)
