// Compares the verifier's verdicts for those who have CAP_BPF and CAP_NET_ADMIN only (no CAP_PERFMON) with the running
// kernel's, over its selftests: no address may get out, and pointers may not move where a processor could run ahead.
//
//   node test/oracle/verifier-capbpf.mjs [--only SUBSTRING] [--verbose]
//
// Needs $ELFBEE_ORACLE_DIR with objs/*.o and capbpf.jsonl: the lines of
//   cd objs; ls | grep bpf.o | LC_ALL=C sort | ../load-dump --caps 39,12 - > ../capbpf.jsonl
import { existsSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { Btf } from '../../dist/btf/index.js'
import { openObject, prepare } from '../../dist/loader/index.js'
import { errnoName } from '../../dist/uapi/index.js'
import { verify } from '../../dist/vm/verifier/index.js'
import { oracleDir, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : null
const verbose = args.includes('--verbose')
const dir = oracleDir()
const kernelBtf = Btf.parse(readFileSync('/sys/kernel/btf/vmlinux'), { name: 'vmlinux' })
const kconfig = existsSync('/proc/config.gz')
  ? {
      text: gunzipSync(readFileSync('/proc/config.gz')).toString(),
      kernelVersion: (6 << 16) + (18 << 8) + 44,
      bpfCookie: true,
      syscallWrapper: true,
    }
  : {}
const MISSING = [58, 36]
/** Refusals that are not about the program: maps and types that need more, what the machine lacks. */
const ENVIRONMENT =
  /^(ldimm64 failed to find|calling kernel function .* is not allowed$)|Operation not permitted|required to use/

const verdicts = readFileSync(`${dir}/capbpf.jsonl`, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))
  .filter((v) => v.prog !== undefined && (v.ok || (v.stage === 'load' && v.lastLogLine !== '')))
  .filter((v) => !ENVIRONMENT.test(v.lastLogLine))
const counts = { agree: 0, falseAccepts: 0, falseRefusals: 0, messages: 0, refusals: 0, errnos: 0, ignorant: 0 }
const causes = new Map()
const differences = []
const specs = new Map()
for (const v of verdicts) {
  if (only !== null && !v.obj.includes(only)) continue
  if (!specs.has(v.obj)) {
    specs.clear()
    specs.set(v.obj, openObject(readFileSync(`${dir}/objs/${v.obj}`), { name: v.obj }))
  }
  const spec = specs.get(v.obj)
  const object = prepare(spec, { kernelBtf, kconfig, programs: [v.prog] })
  const [prepared] = object.programs
  const config = spec.maps['.kconfig']
  const maps = config === undefined ? spec.maps : { ...spec.maps, '.kconfig': { ...config, contents: object.kconfig } }
  const r = prepared?.ok
    ? verify(prepared.program, {
        maps,
        btf: spec.btf,
        kernelBtf,
        license: spec.license,
        missingHelpers: MISSING,
        capabilities: ['bpf', 'net_admin'],
      })
    : { ok: false, errno: 'UNSUPPORTED', message: `not prepared: ${prepared?.error.message}` }
  const same = r.ok === v.ok
  const sameWords = v.ok || r.message === v.lastLogLine
  if (same) counts.agree++
  else if (r.ok) counts.falseAccepts++
  else counts.falseRefusals++
  if (same && !r.ok && r.errno === 'UNSUPPORTED') counts.ignorant++
  if (!v.ok) {
    counts.refusals++
    if (sameWords) counts.messages++
    if (r.errno === errnoName(v.errno)) counts.errnos++
  }
  if (same) continue
  const kind = r.ok ? 'false accept' : 'false refusal'
  const cause = `${kind}: ${(r.ok ? v.lastLogLine : r.message).replace(/-?0x[0-9a-f]+|-?\d+/g, 'N')}`
  causes.set(cause, (causes.get(cause) ?? 0) + 1)
  const program = `${v.obj}/${v.prog}`
  const kernel = v.ok ? 'ok' : v.lastLogLine
  differences.push({ program, kind, kernel, elfbee: r.ok ? 'ok' : `${r.errno}: ${r.message}`, insn: r.insn })
  if (verbose) console.log(JSON.stringify(differences.at(-1)))
}
const sorted = [...causes].sort((a, b) => b[1] - a[1])
for (const [cause, n] of sorted.slice(0, 30)) console.log(n, cause)
const total = counts.agree + counts.falseAccepts + counts.falseRefusals
console.log(
  `false accepts: ${counts.falseAccepts}; same message: ${counts.messages} of ${counts.refusals}, same errno: ${counts.errnos}`,
)
if (only === null) {
  const { agree, ...rest } = counts
  writeResult('verifier-capbpf', { equal: agree, total, ...rest, causes: Object.fromEntries(sorted), differences })
} else console.log(`verifier-capbpf (${only}): ${counts.agree} of ${total}`)
