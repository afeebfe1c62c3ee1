import { prepare, type ObjectSpec } from '../../loader/index.ts'
import { verify, type VerifyResult } from '../../vm/index.ts'
import type { CoreTarget } from './core.ts'

/** Verdict of elfbee's verifier on one program of an object. */
export interface ProgramVerdict {
  readonly name: string
  readonly section: string
  /** Absent when the program could not even be prepared for the kernel whose types were given. */
  readonly result?: VerifyResult
  readonly error?: unknown
}

/**
 * Judges programs as the kernel with the given types would.
 * @param logLevel as BPF_PROG_LOAD takes it: 1 the failing path or 2 all paths, plus 4 for statistics
 * @param unprivileged whether somebody without any capability loads them
 */
export function verifyPrograms(
  spec: ObjectSpec,
  names: readonly string[],
  target: CoreTarget | null,
  logLevel: number,
  unprivileged: boolean = false,
): ProgramVerdict[] {
  const kernelBtf = target?.btf ?? null
  const { programs, kconfig } = prepare(spec, { kernelBtf, programs: names })
  const configuration = spec.maps['.kconfig']
  const maps =
    configuration === undefined ? spec.maps : { ...spec.maps, '.kconfig': { ...configuration, contents: kconfig } }
  const objectName = (spec.file.split('/').at(-1) ?? '').replace(/\..*/s, '')
  return programs.map((prepared) => {
    if (!prepared.ok) return { name: prepared.spec.name, section: prepared.spec.section, error: prepared.error }
    const { name, section } = prepared.program.spec
    const common = { maps, btf: spec.btf, kernelBtf, license: spec.license, objectName, logLevel }
    const options = unprivileged ? { ...common, capabilities: [] } : common
    return { name, section, result: verify(prepared.program, options) }
  })
}
