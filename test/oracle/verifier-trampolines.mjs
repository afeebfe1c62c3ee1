// Compares the verifier's verdicts on trampoline programs with those of a Debian 6.18 kernel: fentry, fexit, fmod_ret, LSM
// and freplace programs of the selftests, which the running kernel refuses before its verifier sees them.
//
//   node test/oracle/verifier-trampolines.mjs [--only SUBSTRING] [--verbose]
//
// Needs $ELFBEE_ORACLE_DIR with objs/*.o, trampolines.jsonl and trampolines-vmlinux (prepare/trampolines.mjs).
import { existsSync, readFileSync } from 'node:fs'
import { Btf } from '../../dist/btf/index.js'
import { openObject, prepare } from '../../dist/loader/index.js'
import { verify } from '../../dist/vm/verifier/index.js'
import { errnoName } from '../../dist/uapi/index.js'
import { oracleDir, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : null
const verbose = args.includes('--verbose')
const dir = oracleDir()
const kernelBtf = Btf.parse(readFileSync(`${dir}/trampolines-vmlinux`), { name: 'vmlinux' })
const verdicts = readFileSync(`${dir}/trampolines.jsonl`, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))
  .filter((v) => v.ok || (v.stage === 'load' && v.lastLogLine !== ''))

const specs = new Map()
function open(name) {
  if (!specs.has(name)) specs.set(name, openObject(readFileSync(`${dir}/objs/${name}`), { name }))
  return specs.get(name)
}

/** A program ready for the verifier, and what to verify it with. */
function request(object, name, target) {
  const spec = open(object)
  const prepared = prepare(spec, { kernelBtf, programs: [name] })
  const [result] = prepared.programs
  if (result === undefined || !result.ok) return { error: `not prepared: ${result?.error.message}` }
  const config = spec.maps['.kconfig']
  const maps =
    config === undefined ? spec.maps : { ...spec.maps, '.kconfig': { ...config, contents: prepared.kconfig } }
  const options = { maps, btf: spec.btf, kernelBtf, license: spec.license, errorInjection: false }
  if (target === null) return { program: result.program, options }
  const [targetObject, targetProgram, named] = target
  const other = request(targetObject, targetProgram, null)
  if (other.error !== undefined) return other
  const wanted = named === '-' ? result.program.spec.attachTarget : named
  return {
    program: result.program,
    options: { ...options, target: { program: other.program, options: other.options, function: wanted } },
  }
}

const counts = { agree: 0, falseAccepts: 0, falseRefusals: 0, messages: 0, refusals: 0, errnos: 0, ignorant: 0 }
const differences = []
for (const v of verdicts) {
  const label = `${v.obj}/${v.prog}${v.target === null ? '' : ` on ${v.target.slice(1).join('.')}`}`
  if ((only !== null && !label.includes(only)) || !existsSync(`${dir}/objs/${v.obj}`)) continue
  const { program, options, error } = request(v.obj, v.prog, v.target)
  const r = error === undefined ? verify(program, options) : { ok: false, errno: 'UNSUPPORTED', message: error }
  const same = r.ok === v.ok
  if (same) counts.agree++
  else if (r.ok) counts.falseAccepts++
  else counts.falseRefusals++
  const isIgnorant = !r.ok && r.errno === 'UNSUPPORTED'
  if (same && isIgnorant) counts.ignorant++
  const words = r.message?.replace(/attach_btf_id \d+/, 'attach_btf_id N')
  const otherWords = !v.ok && words !== v.lastLogLine.replace(/attach_btf_id \d+/, 'attach_btf_id N')
  if (!v.ok) {
    counts.refusals++
    if (!otherWords) counts.messages++
    if (r.errno === errnoName(v.errno)) counts.errnos++
  }
  if (same && !otherWords) continue
  const difference = {
    program: label,
    kernel: v.ok ? 'ok' : v.lastLogLine,
    elfbee: r.ok ? 'ok' : `${r.errno}: ${r.message}`,
    insn: r.insn,
  }
  if (!same || verbose) console.log(JSON.stringify(difference))
  differences.push({ kind: same ? 'other words' : r.ok ? 'false accept' : 'false refusal', ...difference })
}
const total = counts.agree + counts.falseAccepts + counts.falseRefusals
console.log(
  `false accepts: ${counts.falseAccepts}; same message: ${counts.messages} of ${counts.refusals}, same errno: ${counts.errnos}; refused rightly, but only because unsupported: ${counts.ignorant}`,
)
if (only === null) {
  writeResult('verifier-trampolines', {
    equal: counts.agree,
    total,
    kernelOfVerdicts: readFileSync(`${dir}/trampolines-release`, 'utf8').trim(),
    falseAccepts: counts.falseAccepts,
    falseRefusals: counts.falseRefusals,
    sameMessage: counts.messages,
    sameErrno: counts.errnos,
    refusals: counts.refusals,
    rightByIgnorance: counts.ignorant,
    differences,
  })
} else console.log(`verifier-trampolines (${only}): ${counts.agree} of ${total}`)
process.exitCode = counts.falseAccepts === 0 ? 0 : 1
