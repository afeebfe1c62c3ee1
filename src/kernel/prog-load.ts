import { BpfError } from '../bytes/index.ts'
import { explainPoison, type PreparedProgram, type ProgramRequest, type ProgramSpec } from '../loader/index.ts'
import {
  AttachType,
  Cmd,
  Errno,
  Limit,
  matchSection,
  ProgType,
  STRUCT_SIZE,
  errnoName,
  progTypeName,
} from '../uapi/index.ts'
import { findAttachTarget } from './attach-target.ts'
import { Attr } from './attr.ts'
import { hasFeature } from './features/index.ts'
import { errnoHint } from './hints.ts'
import { openModuleBtf } from './kernel-btf.ts'
import { resolveReferences, type ResolvedProgram } from './late-references.ts'
import { loadCalls, summariseLog, type LogSummary } from './log.ts'
import { useOldHelpers } from './old-kernels.ts'
import { capabilitiesOf, missingCapabilities, permissionHint } from './permission.ts'
import { bpf, bpfError, closeFd, makeCalls, makeCallsAsync } from './syscall.ts'

/** A name as the kernel takes it: at most 15 bytes of `[A-Za-z0-9_.]`. */
export function kernelName(name: string): string {
  return name.replace(/[^A-Za-z0-9_.]/g, '_').slice(0, Limit.NAME_LENGTH - 1)
}

/**
 * Loads one program and binds its read-only maps. `btfFd` is the object's BTF in the kernel, null to do without.
 * @throws BpfError `verifier` with the log; `syscall`, `not-found`, `unsupported`
 */
export function loadProgramFd(request: ProgramRequest, btfFd: number | null): LoadedFd {
  return makeCalls(Cmd.PROG_LOAD, programLoad(request, btfFd))
}

/** The same off the main thread: verification can take seconds. */
export function loadProgramFdAsync(request: ProgramRequest, btfFd: number | null): Promise<LoadedFd> {
  return makeCallsAsync(Cmd.PROG_LOAD, programLoad(request, btfFd))
}

/** A loaded program, and the verifier's log; empty without one. */
export interface LoadedFd {
  readonly fd: number
  readonly log: string
}

function* programLoad(request: ProgramRequest, btfFd: number | null): Generator<Attr<'PROG_LOAD'>, LoadedFd, number> {
  const { program } = request
  const { spec } = program
  if (spec.type === ProgType.UNSPEC) {
    throw new BpfError('usage', `section "${spec.section}" does not tell a program type; set one before load()`, {
      where: { program: spec.name, section: spec.section },
    })
  }
  const target = findAttachTarget(spec, request.structOps)
  const resolved = resolveReferences(program, (name) => request.maps.get(name)?.fd ?? null)
  useOldHelpers(resolved.insns)
  let moduleFd: number | undefined
  try {
    if (target !== null && target.module !== null) moduleFd = openModuleBtf(target.module)
    const fields = {
      prog_type: spec.type,
      prog_name: hasFeature('progName') ? kernelName(spec.name) : undefined,
      license: request.license,
      kern_version: request.version,
      prog_flags: spec.flags,
      expected_attach_type: request.structOps?.member ?? attachTypeOf(spec),
      attach_btf_id: target?.btfId,
      attach_btf_obj_fd: target?.programFd ?? moduleFd,
      insns: resolved.insns.toBytes(),
      insn_cnt: resolved.insns.length,
      fd_array: resolved.fdArray.length > 1 ? new Uint8Array(Int32Array.from(resolved.fdArray).buffer) : undefined,
      ...debugInfo(program, btfFd),
    }
    const attrOf = (buffer: Uint8Array | undefined, level: number): Attr<'PROG_LOAD'> =>
      new Attr('PROG_LOAD', { ...fields, log_buf: buffer, log_size: buffer?.length, log_level: level })
    const { result, log } = yield* loadCalls(request.logLevel, attrOf, (attr) => attr.u32('log_true_size'))
    if (result < 0) throw loadError(request, resolved, -result, log)
    bindMaps(request, result)
    return { fd: result, log }
  } finally {
    resolved.close()
    if (moduleFd !== undefined) closeFd(moduleFd)
  }
}

/** The attach type that a program is loaded for. */
function attachTypeOf(spec: ProgramSpec): number {
  const section = matchSection(spec.section)
  if (spec.attachType === null) {
    const isUsdt = spec.type === ProgType.KPROBE && section?.flags.includes('usdt') === true
    return isUsdt && hasFeature('uprobeMultiLink') ? AttachType.TRACE_UPROBE_MULTI : 0
  }
  // Kernels before 4.17 know no attach types, and these programs did without.
  const isOptional = section?.flags.includes('attachableOpt') === true
  return isOptional && !hasFeature('expectedAttachType') ? 0 : spec.attachType
}

function bindMaps(request: ProgramRequest, fd: number): void {
  // Before Linux 5.10 a program holds only the maps that it uses.
  if (request.bindMaps.length === 0 || !hasFeature('progBindMap')) return
  for (const map of request.bindMaps) {
    const attr = new Attr('PROG_BIND_MAP', { prog_fd: fd, map_fd: map.fd ?? -1 })
    try {
      bpf(Cmd.PROG_BIND_MAP, attr, { program: request.program.spec.name })
    } catch (error) {
      closeFd(fd)
      throw error
    }
  }
}

/** Function and line records for the verifier; the kernel wants all functions named or none. */
function debugInfo(program: PreparedProgram, btfFd: number | null): Partial<Record<DebugField, number | Uint8Array>> {
  if (btfFd === null || program.functions.length === 0 || program.functions.some((f) => f.btfId === 0)) return {}
  const functions = new Uint32Array(program.functions.length * 2)
  program.functions.forEach((f, i) => {
    functions[i * 2] = f.start
    functions[i * 2 + 1] = f.btfId
  })
  const fields: Partial<Record<DebugField, number | Uint8Array>> = {
    prog_btf_fd: btfFd,
    func_info: new Uint8Array(functions.buffer),
    func_info_rec_size: STRUCT_SIZE.bpf_func_info,
    func_info_cnt: program.functions.length,
  }
  if (program.lines.length === 0) return fields
  const lines = new Uint32Array(program.lines.length * 4)
  program.lines.forEach((line, i) => {
    lines[i * 4] = line.insn
    lines[i * 4 + 1] = line.fileOffset
    lines[i * 4 + 2] = line.textOffset
    lines[i * 4 + 3] = (line.line << 10) | (line.column & 0x3ff)
  })
  return {
    ...fields,
    line_info: new Uint8Array(lines.buffer),
    line_info_rec_size: STRUCT_SIZE.bpf_line_info,
    line_info_cnt: program.lines.length,
  }
}

type DebugField =
  | 'prog_btf_fd'
  | 'func_info'
  | 'func_info_rec_size'
  | 'func_info_cnt'
  | 'line_info'
  | 'line_info_rec_size'
  | 'line_info_cnt'

function loadError(request: ProgramRequest, resolved: ResolvedProgram, errno: number, log: string): BpfError {
  const { program } = request
  const where = { program: program.spec.name, section: program.spec.section }
  if (log.trim() === '') {
    const error = bpfError(Cmd.PROG_LOAD, errno, where, permissionDetail(program, errno))
    return new BpfError('syscall', `program "${program.spec.name}": ${error.message}`, {
      where,
      errno: errnoName(errno),
      log,
    })
  }
  const summary = summariseLog(log)
  const message = explainMissing(program, resolved, summary) ?? summary.message
  const line = summary.slot === null ? undefined : sourceLine(program, summary.slot)
  const at = summary.insn === '' ? '' : `\n  at ${summary.insn}`
  return new BpfError(
    'verifier',
    `the kernel's verifier refused program "${program.spec.name}" (${errnoName(errno)}): ${message}${at}`,
    {
      where: {
        ...where,
        ...(summary.slot === null ? {} : { insn: summary.slot }),
        ...(line === undefined ? {} : { sourceLine: line }),
      },
      errno: errnoName(errno),
      log,
    },
  )
}

function permissionDetail(program: PreparedProgram, errno: number): string {
  const { type } = program.spec
  const trampoline = type === ProgType.TRACING || type === ProgType.LSM || type === ProgType.EXT
  if (errno === Errno.EPERM) {
    const missing = missingCapabilities(capabilitiesOf(type))
    if (missing.length === 0 && trampoline) {
      return `this kernel does not let ${progTypeName(type)} programs attach to functions (no BPF trampolines, or lockdown)`
    }
    return permissionHint(capabilitiesOf(type))
  }
  if (errno === Errno.EINVAL && type === ProgType.KPROBE) {
    return `${errnoHint(Cmd.PROG_LOAD, errno)}; before Linux 5.0 kprobe programs must name the exact kernel version`
  }
  return errnoHint(Cmd.PROG_LOAD, errno)
}

/** Says what stood in the place of an instruction that the loader had to make invalid. */
function explainMissing(
  program: PreparedProgram,
  resolved: ResolvedProgram,
  { message, slot }: LogSummary,
): string | null {
  const call = /invalid func \S*?#(\d+)/.exec(message)
  if (call === null) return null
  const imm = Number(call[1])
  const missing = resolved.missing.get(imm)
  if (missing !== undefined) return `the program reaches a use of ${missing} (${message})`
  const reason = imm === CORE_POISON && slot !== null ? explainPoison(program, slot) : null
  return reason === null ? null : `the program reaches what this kernel's types do not have\n  ${reason}`
}

/** Helper number that libbpf and elfbee put in the place of an instruction whose CO-RE relocation failed. */
const CORE_POISON = 0xbad2310

function sourceLine(program: PreparedProgram, slot: number): string | undefined {
  const line = program.lines.findLast((record) => record.insn <= slot)
  return line === undefined ? undefined : `${line.file}:${line.line}: ${line.text.trim()}`
}
