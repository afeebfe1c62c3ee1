// The kernel's selftests as the verifier's oracles use them: programs that the kernel decided, and how to verify them here.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { Btf, BtfKind } from '../../../dist/btf/index.js'
import { openObject, prepare } from '../../../dist/loader/index.js'
import { verify } from '../../../dist/vm/verifier/index.js'

/** bpf_override_return and bpf_probe_write_user: off by configuration and by lockdown on the machine of the verdicts. */
export const MISSING = [58, 36]

/** Log lines that are about the machine, not about the program's safety. */
const ENVIRONMENT =
  /^(ldimm64 failed to find|calling kernel function .* is not allowed$)|Operation not permitted|required to use/

/** libbpf puts these in the place of the kernel's line about the invalid call that stands for a failed relocation. */
export const FROM_LIBBPF = /^(failed to resolve CO-RE relocation|kfunc '.*' is referenced but wasn't resolved)/

/** The configuration of this kernel, for programs that read it. */
function kconfig() {
  if (!existsSync('/proc/config.gz')) return {}
  return {
    text: gunzipSync(readFileSync('/proc/config.gz')).toString(),
    kernelVersion: (6 << 16) + (18 << 8) + 44,
    bpfCookie: true,
    syscallWrapper: / __x64_sys_bpf$/m.test(readFileSync('/proc/kallsyms', 'latin1')),
  }
}

/** CPUs that the machine can have: the last number of a list such as "0-1". */
const CPUS = 1 + Number(/(\d+)\s*$/.exec(readFileSync('/sys/devices/system/cpu/possible', 'utf8'))[1])

/** Verdicts of the kernel on programs that it decided, by object. */
export function decidedPrograms(dir, recorded = 'load-dump.jsonl') {
  const byObject = new Map()
  for (const line of readFileSync(`${dir}/${recorded}`, 'utf8').trim().split('\n')) {
    const v = JSON.parse(line)
    if (v.prog === undefined) continue
    const decided = v.ok || (v.stage === 'load' && v.lastLogLine !== '' && !ENVIRONMENT.test(v.lastLogLine))
    if (!decided) continue
    if (!byObject.has(v.obj)) byObject.set(v.obj, [])
    byObject.get(v.obj).push(v)
  }
  return byObject
}

/**
 * Goes through all decided programs of the objects whose name contains `only`. `run(options)` verifies the program with
 * further options and adds the time it took in `ms`; it gives a result with errno UNSUPPORTED when the program cannot be
 * prepared, CRASH when it throws. `recorded`: the file with the kernel's verdicts (default load-dump.jsonl).
 * @returns {Generator<{ file: string, spec: any, verdict: any, run: (options?: object) => any }>}
 */
export function* corpus(dir, only = null, recorded = 'load-dump.jsonl') {
  const kernelBtf = Btf.parse(readFileSync('/sys/kernel/btf/vmlinux'), { name: 'vmlinux' })
  const config = kconfig()
  const byObject = decidedPrograms(dir, recorded)
  for (const file of readdirSync(`${dir}/objs`).sort()) {
    const list = byObject.get(file)
    if (list === undefined || (only !== null && !file.includes(only))) continue
    let spec = null
    let failure = null
    try {
      spec = openObject(readFileSync(`${dir}/objs/${file}`), { name: file })
    } catch (error) {
      failure = { ok: false, errno: error.code, message: error.message, log: '' }
    }
    for (const verdict of list) {
      const run = (options = {}) => failure ?? verifyOne(spec, verdict.prog, file, kernelBtf, config, options)
      yield { file, spec, verdict, run }
    }
  }
}

/**
 * Whether the kernel takes an object's BTF: not when a function has a parameter without a name. libbpf then loads the
 * programs without types of functions and without lines, unless maps need the BTF.
 */
function kernelTakes(btf) {
  if (btf === null) return true
  for (const type of btf.types()) {
    if (type.kind !== BtfKind.FUNC || type.linkage > 1) continue
    if (btf.type(type.type).params.some((param) => param.type !== 0 && param.name === '')) return false
  }
  return true
}

function withoutBtf(program) {
  return { ...program, lines: [], functions: program.functions.map((fn) => ({ ...fn, btfId: 0 })) }
}

function verifyOne(spec, name, file, kernelBtf, config, options) {
  try {
    const object = prepare(spec, { kernelBtf, kconfig: config, programs: [name] })
    const [prepared] = object.programs
    if (prepared === undefined || !prepared.ok) {
      return { ok: false, errno: 'UNSUPPORTED', message: `not prepared: ${prepared?.error.message}`, log: '' }
    }
    const kconfigMap = spec.maps['.kconfig']
    const maps =
      kconfigMap === undefined ? spec.maps : { ...spec.maps, '.kconfig': { ...kconfigMap, contents: object.kconfig } }
    const started = performance.now()
    const result = verify(kernelTakes(spec.btf) ? prepared.program : withoutBtf(prepared.program), {
      maps,
      btf: spec.btf,
      kernelBtf,
      license: spec.license,
      missingHelpers: MISSING,
      cpus: CPUS,
      objectName: file.split('.')[0],
      ...options,
    })
    return { ...result, ms: performance.now() - started }
  } catch (error) {
    const message = `crash: ${error.stack?.split('\n').slice(0, 2).join(' ')}`
    return { ok: false, errno: 'CRASH', message, log: '' }
  }
}

/** The last line of a verifier's log before the costs; the kernel forgets the end of one line. */
export function lastLogLine(log) {
  const lines = log.trimEnd().split('\n')
  for (let i = lines.length - 1; i >= 0; i--) {
    if (/^(verification time|stack depth|processed) /.test(lines[i])) continue
    return lines[i].replace(/processed \d+ insns .*$/, '')
  }
  return ''
}

/** Whether the verifier's log ends as the kernel's does. */
export function sameLastLine(ours, kernel) {
  const [mine, theirs] = [lastLogLine(ours), lastLogLine(kernel)]
  return FROM_LIBBPF.test(theirs) ? mine.startsWith('invalid func unknown#') : mine === theirs
}
