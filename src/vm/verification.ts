import { BpfError } from '../bytes/index.ts'
import type { Btf } from '../btf/index.ts'
import { explainPoison, type MapSpec, type PreparedProgram, type ProgramRequest } from '../loader/index.ts'
import { ArrayMap } from './runtime/maps/array.ts'
import { VmMap } from './runtime/maps/map.ts'
import { factsOf, type Facts } from './facts.ts'
import { NO_INDIRECT_JUMPS, verify, type VerifyOptions, type VerifyResult } from './verifier/index.ts'

/** What the vm is, as far as a verdict depends on it. */
export interface VerificationHost {
  readonly cpus: number
  readonly linux: '6.18' | '6.19'
  kernelBtf(): Btf | null
}

/** An accepted program's log and facts. */
export interface Verified {
  readonly log: string
  readonly facts: Facts | null
}

/**
 * Verifies a program before the vm takes it. Gives the log, when one was asked for, and what was proved.
 * @throws BpfError `verifier` when Linux would refuse it, with the kernel's words, errno and log; `unsupported` when the
 * verifier cannot tell
 */
export function verifyRequest(request: ProgramRequest, host: VerificationHost): Verified {
  const { program, btf, license, logLevel } = request
  const options: VerifyOptions = {
    maps: mapSpecs(request),
    btf,
    // Opened when the program needs it.
    get kernelBtf(): Btf | null {
      return host.kernelBtf()
    },
    license,
    linux: host.linux,
    cpus: host.cpus,
    logLevel,
    facts: true,
  }
  const attached = request.structOps === undefined ? program : { ...program, structOps: request.structOps }
  const result = verify(attached, options)
  if (result.ok) {
    const { log, facts } = result
    return { log, facts: facts === undefined ? null : factsOf(facts, program.insns, program.spec.type) }
  }
  const log = logLevel > 0 ? result.log : verify(attached, withLog(options)).log
  throw refusal(program, result, log, host.kernelBtf() !== null)
}

/** The same with a log; a copy would read the kernel's BTF at once. */
function withLog(options: VerifyOptions): VerifyOptions {
  return Object.assign(Object.create(options) as VerifyOptions, { logLevel: 1 })
}

/** Maps as they are now: of data that nobody changes any more the verifier knows the contents. */
function mapSpecs(request: ProgramRequest): Record<string, MapSpec> {
  const specs = Object.create(null) as Record<string, MapSpec>
  for (const [name, map] of request.maps) {
    if (!(map instanceof VmMap)) continue
    const contents = map.frozen && map instanceof ArrayMap ? map.contents() : null
    specs[name] = { ...map.spec, frozen: map.frozen, contents }
  }
  return specs
}

/** What to do about instructions that Linux 6.18 does not know. */
function tooNew({ message }: VerifyResult): string | null {
  if (message !== NO_INDIRECT_JUMPS) return null
  return 'indirect jumps (gotox) came with Linux 6.19; load it with verify: false to run it unverified'
}

function refusal(program: PreparedProgram, result: VerifyResult, log: string, hasBtf: boolean): BpfError {
  const { name, section } = program.spec
  const line = result.insn === undefined ? undefined : program.lines.findLast((l) => l.insn <= (result.insn ?? 0))
  const where = {
    program: name,
    section,
    ...(result.insn === undefined ? {} : { insn: result.insn }),
    ...(line === undefined ? {} : { sourceLine: `${line.file}:${line.line}: ${line.text.trim()}` }),
  }
  if (result.errno === 'UNSUPPORTED') {
    const advice = hasBtf ? 'load it' : 'give the vm the BTF of a kernel, or load it'
    return new BpfError(
      'unsupported',
      `program "${name}" cannot be verified: ${result.message}; ${advice} with verify: false to run it unverified`,
      { where, log },
    )
  }
  const missing = result.insn === undefined ? tooNew(result) : explainPoison(program, result.insn)
  const reason = missing === null ? '' : `\n  ${missing}`
  return new BpfError(
    'verifier',
    `the verifier refused program "${name}" (${result.errno}): ${result.message}${reason}`,
    {
      where,
      errno: result.errno ?? 'EINVAL',
      log,
    },
  )
}
