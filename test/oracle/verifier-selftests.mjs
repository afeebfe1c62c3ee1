// Compares the verifier's verdicts with the running kernel's over the kernel's own selftests.
//
//   node test/oracle/verifier-selftests.mjs [--only SUBSTRING] [--verbose]
//
// Needs $ELFBEE_ORACLE_DIR with objs/*.o (selftests of linux-source-6.12) and load-dump.jsonl (verdicts of the kernel, a
// line a program). A program is decided when the kernel accepted it, or refused it with a verifier log; the rest failed
// for other reasons (missing test modules, policy). A program that the kernel refuses and we accept is a FALSE ACCEPT.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { Btf } from '../../dist/btf/index.js'
import { openObject, prepare } from '../../dist/loader/index.js'
import { verify } from '../../dist/vm/verifier/index.js'
import { gunzipSync } from 'node:zlib'
import { oracleDir, possibleCpus, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : null
const verbose = args.includes('--verbose')
const dir = oracleDir()
const kernelBtf = Btf.parse(readFileSync('/sys/kernel/btf/vmlinux'), { name: 'vmlinux' })

/** The configuration of this kernel, for programs that read it. */
const kconfig = existsSync('/proc/config.gz')
  ? {
      text: gunzipSync(readFileSync('/proc/config.gz')).toString(),
      kernelVersion: (6 << 16) + (18 << 8) + 44,
      bpfCookie: true,
      syscallWrapper: true,
    }
  : {}

/** bpf_override_return and bpf_probe_write_user: off by configuration and by lockdown on the machine of the verdicts. */
const MISSING = [58, 36]

/** Log lines that are about the machine, not about the program's safety. */
const ENVIRONMENT = /^(ldimm64 failed to find|calling kernel function .* is not allowed$)|Operation not permitted/
const ERRNO = {
  1: 'EPERM',
  2: 'ENOENT',
  7: 'E2BIG',
  12: 'ENOMEM',
  13: 'EACCES',
  14: 'EFAULT',
  22: 'EINVAL',
  34: 'ERANGE',
  95: 'EOPNOTSUPP',
  524: 'ENOTSUPP',
}

const verdicts = readFileSync(`${dir}/load-dump.jsonl`, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))
const byObject = new Map()
for (const v of verdicts) {
  if (v.prog === undefined) continue
  const decided = v.ok || (v.stage === 'load' && v.lastLogLine !== '' && !ENVIRONMENT.test(v.lastLogLine))
  if (!decided) continue
  if (!byObject.has(v.obj)) byObject.set(v.obj, [])
  byObject.get(v.obj).push(v)
}

const counts = { agree: 0, falseAccept: 0, falseRefuse: 0, total: 0, messages: 0, refusals: 0, errnos: 0, crash: 0 }
const causes = new Map()
const differences = []
let timeMs = 0

/** A message may have several lines, as the kernel's log: the last one is compared. */
function lastLine(message) {
  return (message ?? '').split('\n').at(-1)
}

function note(kind, v, r) {
  const words = (kind === 'false accept' ? v.lastLogLine : lastLine(r.message)).replace(/\d+/g, 'N')
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

for (const file of readdirSync(`${dir}/objs`).sort()) {
  const list = byObject.get(file)
  if (list === undefined || (only !== null && !file.includes(only))) continue
  const path = `${dir}/objs/${file}`
  if (!existsSync(path)) continue
  let spec
  try {
    spec = openObject(readFileSync(path), { name: file })
  } catch (error) {
    for (const v of list) note('not opened', v, { ok: false, errno: error.code, message: error.message })
    counts.total += list.length
    continue
  }
  for (const v of list) {
    counts.total++
    let r
    try {
      const object = prepare(spec, { kernelBtf, kconfig, programs: [v.prog] })
      const [prepared] = object.programs
      const config = spec.maps['.kconfig']
      const maps =
        config === undefined ? spec.maps : { ...spec.maps, '.kconfig': { ...config, contents: object.kconfig } }
      if (prepared === undefined || !prepared.ok) {
        r = { ok: false, errno: 'UNSUPPORTED', message: `not prepared: ${prepared?.error.message}` }
      } else {
        const started = performance.now()
        r = verify(prepared.program, {
          maps,
          btf: spec.btf,
          kernelBtf,
          license: spec.license,
          missingHelpers: MISSING,
          cpus: possibleCpus(),
        })
        const took = performance.now() - started
        timeMs += took
        if (verbose && took > 1000)
          console.log(`slow: ${file}/${v.prog} ${took.toFixed(0)} ms, ${r.stats.insnsProcessed} insns`)
      }
    } catch (error) {
      counts.crash++
      r = { ok: false, errno: 'CRASH', message: `crash: ${error.stack?.split('\n').slice(0, 2).join(' ')}` }
    }
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
      if (lastLine(r.message) === v.lastLogLine) counts.messages++
      else if (!r.ok && r.errno !== 'UNSUPPORTED') note('other words', v, r)
      if (!r.ok && r.errno === ERRNO[v.errno]) counts.errnos++
    }
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
  writeResult('verifier-selftests', {
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
} else console.log(`verifier-selftests (${only}): ${counts.agree} of ${counts.total}`)
