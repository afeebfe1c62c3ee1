import type { Btf } from '../../btf/index.ts'
import { BtfKind } from '../../btf/index.ts'
import type { MapSpec, PreparedProgram } from '../../loader/index.ts'
import { AttachType, HELPERS, HelperId, ProgType } from '../../uapi/index.ts'
import type { WalkFacts } from './accesses.ts'
import { helperOf, isAsyncCallbackCall, isIterNextCall, isSyncCallbackCall, isThrowCall } from './calls/kinds.ts'
import { hasRetval } from './calls/variants.ts'
import { type MapFacts, mapFacts } from './facts/maps.ts'
import { checkMapForProgram } from './program/map-rules.ts'
import { effectsOf } from './program/effects.ts'
import { exceptionCallback } from './program/exceptions.ts'
import { checkAbnormalReturns } from './program/abnormal-return.ts'
import { checkDescriptors, checkDirectValue } from './program/immediates.ts'
import { analyzeFlow, type CallMarks, postorder, successors } from './program/flow.ts'
import { checkJumps, decodeAll, functionStarts, type Subprogram } from './program/layout.ts'
import { liveRegisters } from './program/live.ts'
import { checkStackDepth, stackDepths } from './program/stack-depth.ts'
import { checkNoBackEdges, checkUnprivileged } from './program/unprivileged.ts'
import { resolveTarget, type TargetFunction } from './program/target.ts'
import { invalid, Reject, type RejectErrno, unsupported } from './reject.ts'
import { State } from './state/state.ts'
import { Log, LogLevel } from './log/log.ts'
import { logProgram, statsText } from './log/program.ts'
import { Trace } from './log/trace.ts'
import type { StateView } from './log/view.ts'
import { StackLiveness } from './liveness.ts'
import { walkProgram } from './run.ts'
import { describeTarget } from './target-program.ts'
import { type ImmediateTarget, type ProgramFacts, Walk } from './walk.ts'

/** What the verifier must know besides the program. */
export interface VerifyOptions {
  /** Maps of the object by name. */
  readonly maps: Readonly<Record<string, MapSpec>>
  /** The object's BTF. */
  readonly btf: Btf | null
  /** BTF of the kernel whose verdict is wanted; without it, kernel types and functions are refused as unsupported. */
  readonly kernelBtf: Btf | null
  /** Whose rules hold: of 6.18 (default), which refuses indirect jumps; of those of 6.19 the verifier cannot tell. */
  readonly linux?: '6.18' | '6.19'
  /** Licence text; decides on GPL-only helpers. */
  readonly license: string
  /** The program whose function the program attaches to (freplace, or tracing of a program). */
  readonly target?: VerifyTarget
  /** Whether the kernel has CONFIG_FUNCTION_ERROR_INJECTION (default), so that fmod_ret reaches more functions. */
  readonly errorInjection?: boolean
  /** What the one who loads may do (capabilities of Linux), default everything; `[]` is anybody. */
  readonly capabilities?: readonly Capability[]
  /** Helpers (ids) that this kernel's configuration or lockdown does not offer. */
  readonly missingHelpers?: readonly number[]
  /** Processors that the machine may have, for bounds of their numbers (default 8192, the most that Linux knows). */
  readonly cpus?: number
  /** Load flags beyond the program's own (BPF_F_*). */
  readonly flags?: number
  /** Name of the object, which the kernel makes part of the names of data maps; only the log shows it. */
  readonly objectName?: string
  /** What to log: the sum of 1 (the failing path) or 2 (all paths) and 4 (statistics), as BPF_PROG_LOAD has it. */
  readonly logLevel?: number
  /** Called before each instruction on each path, with what is known there; the objects may be kept. */
  readonly onInstruction?: (state: StateView) => void
  /** Whether to give {@link VerifyResult.facts}. */
  readonly facts?: boolean
  /** Characters of the log to keep, the last ones (default 16 Mi). */
  readonly logSize?: number
}

/** Capabilities that verification depends on. */
export type Capability = 'bpf' | 'perfmon' | 'net_admin'

/** A loaded program and one of its functions. */
export interface VerifyTarget {
  readonly program: PreparedProgram
  /** Name of the function. */
  readonly function: string
  /** What the program was loaded with. */
  readonly options: VerifyOptions
}

/** Cost of a verification, as the kernel's last log line has it. */
export interface VerifyStats {
  readonly insnsProcessed: number
  readonly totalStates: number
  readonly peakStates: number
  readonly maxStatesPerInsn: number
}

/** Verdict on a program. */
export interface VerifyResult {
  readonly ok: boolean
  /** Why not: the kernel's errno, or `UNSUPPORTED` when this verifier cannot tell. */
  readonly errno?: RejectErrno
  /** The kernel's words. */
  readonly message?: string
  /** Instruction at which the walk was refused, absent for load-time checks. */
  readonly insn?: number
  readonly stats: VerifyStats
  /** What was learned of the instructions of an accepted program, with option `facts`. */
  readonly facts?: WalkFacts
  /** The log in the kernel's format, empty without `logLevel`. Addresses of maps and variables are 0 in it. */
  readonly log: string
}

const GPL: ReadonlySet<string> = new Set([
  'GPL',
  'GPL v2',
  'GPL and additional rights',
  'Dual BSD/GPL',
  'Dual MIT/GPL',
  'Dual MPL/GPL',
])
const SLEEPABLE = 16
const STRICT_ALIGNMENT = 1
const ANY_ALIGNMENT = 2
const TEST_STATE_FREQ = 8
const TEST_REG_INVARIANTS = 128

/** Decides whether Linux 6.18 would load a program, by walking all its paths. Bounded by the kernel's own limits. */
export function verify(program: PreparedProgram, options: VerifyOptions): VerifyResult {
  // The kernel takes no BTF from those without CAP_BPF: loaders leave it away.
  if (hasCapability(options, 'bpf')) return judge(program, options)
  return judge({ ...program, lines: [], functions: [] }, { ...options, btf: null })
}

function hasCapability(options: VerifyOptions, capability: Capability): boolean {
  return options.capabilities?.includes(capability) ?? true
}

function judge(program: PreparedProgram, options: VerifyOptions): VerifyResult {
  const level = options.logLevel ?? 0
  const log = level === 0 ? null : new Log(level, options.logSize)
  const started = performance.now()
  let walk: Walk | null = null
  const finish = (facts: ProgramFacts | null, ok: boolean): { stats: VerifyStats; log: string } => {
    const stats = statsOf(walk)
    if (log === null) return { stats, log: '' }
    if ((level & LogLevel.STATS) !== 0) {
      log.write(`verification time ${Math.round((performance.now() - started) * 1000)} usec\n`)
      log.write(`stack depth ${facts === null ? 0 : stackDepths(facts, ok ? walk : null)}\n`)
    }
    log.write(statsText(stats))
    return { stats, log: log.toString() }
  }
  let facts: ProgramFacts | null = null
  try {
    facts = collectFacts(program, options, log)
    walk = makeWalk(facts, program, log, options.onInstruction)
    if (options.facts === true) walk.accesses = new Uint8Array(program.insns.length)
    walkProgram(walk)
    checkStackDepth(facts)
    if (walk.unresolvedCalls.size > 0) invalid('invalid kernel function call not eliminated in verifier pass')
    return { ok: true, ...finish(facts, true), ...learned(walk) }
  } catch (error) {
    if (!(error instanceof Reject)) throw error
    if (!error.logged) log?.write(`${error.text}\n`)
    const at = walk === null ? {} : { insn: walk.insn }
    return { ok: false, errno: error.errno, message: error.message, ...at, ...finish(facts, false) }
  }
}

/** Of a walk that has followed all paths. */
function learned(walk: Walk): { readonly facts?: WalkFacts } {
  const { accesses } = walk
  return accesses === null ? {} : { facts: { accesses, reached: accesses.map((_, at) => (walk.seen(at) ? 1 : 0)) } }
}

function statsOf(walk: Walk | null): VerifyStats {
  return {
    insnsProcessed: walk?.insnsProcessed ?? 0,
    totalStates: walk?.totalStates ?? 0,
    peakStates: walk?.peakStates ?? 0,
    maxStatesPerInsn: walk?.maxStatesPerInsn ?? 0,
  }
}

function makeWalk(
  facts: ProgramFacts,
  program: PreparedProgram,
  log: Log | null,
  onInstruction: VerifyOptions['onInstruction'],
): Walk {
  const trace = log === null ? null : new Trace(log, program, facts)
  if (trace !== null) logProgram(trace, facts)
  const orders = new Map<number, readonly number[]>()
  const liveness = new StackLiveness(
    {
      subprograms: facts.subprograms,
      flow: facts.flow,
      successors: (at) => facts.successors[at] as readonly number[],
      postorder: (sub) => {
        let order = orders.get(sub.index)
        if (order === undefined) orders.set(sub.index, (order = postorder(facts.successors, sub.start)))
        return order
      },
    },
    log,
  )
  return new Walk(facts, new State(), liveness, trace, onInstruction)
}

function targetOf(target: VerifyTarget): TargetFunction {
  const { program, options } = target
  const walk = makeWalk(collectFacts(program, options, null, true), program, null, undefined)
  walkProgram(walk)
  return describeTarget(target, walk)
}

/** Older loaders leave the attach type of these out (bpf_prog_load_fixup_attach_type). */
function attachTypeOf({ type, attachType }: PreparedProgram['spec']): number {
  if (type === ProgType.CGROUP_SOCK) return attachType || AttachType.CGROUP_INET_SOCK_CREATE
  if (type === ProgType.SK_REUSEPORT) return attachType || AttachType.SK_REUSEPORT_SELECT
  return attachType ?? 0
}

function collectFacts(
  program: PreparedProgram,
  options: VerifyOptions,
  log: Log | null,
  isTarget: boolean = false,
): ProgramFacts {
  const { spec, insns } = program
  if (insns.length === 0) throw new Reject('EINVAL', 'invalid instruction count')
  const bpf = hasCapability(options, 'bpf')
  if (!bpf && hasCapability(options, 'perfmon')) unsupported('programs with CAP_PERFMON but without CAP_BPF')
  if (!bpf) checkUnprivileged(spec.type, insns)
  const malformed = new Map<number, string>()
  const ops = decodeAll(insns, malformed, options.linux === '6.19')
  if (ops.some((op) => op?.kind === 'gotox')) unsupported('indirect jumps (gotox)')
  const handler = exceptionCallback(options.btf, program.functions)
  const subprograms = functionsOf(program, ops, options.btf, handler)
  if (log?.all === true) for (const sub of subprograms) log.write(`func#${sub.index} @${sub.start}\n`)
  const immediates = new Map<number, ImmediateTarget>()
  const cache = new Map<MapSpec, MapFacts>()
  const kfuncs = new Map<number, { name: string; btfId: number }>()
  for (const ref of program.lateReferences) {
    switch (ref.kind) {
      case 'map':
      case 'mapValue': {
        const map = options.maps[ref.map]
        if (map === undefined) throw new Reject('UNSUPPORTED', `the map ${ref.map} is not known`)
        const facts = mapFacts(map, options.btf, cache, options.objectName ?? '')
        if (ref.kind === 'mapValue') checkDirectValue(facts, ref.offset)
        const target: ImmediateTarget =
          ref.kind === 'map' ? { kind: 'map', map: facts } : { kind: 'mapValue', map: facts, offset: ref.offset }
        immediates.set(ref.insn, target)
        break
      }
      case 'ksymBtf':
        immediates.set(ref.insn, { kind: 'ksymBtf', btfId: ref.btfId, name: ref.name })
        break
      case 'ksymAddress':
        immediates.set(ref.insn, { kind: 'ksymAddress', name: ref.name })
        break
      case 'kfunc':
        // The object may call it by another name (bpf_task_acquire___one): the id decides.
        kfuncs.set(ref.insn, { name: kernelName(options.kernelBtf, ref), btfId: ref.btfId })
        break
      case 'jumpTable':
        break
    }
  }
  checkKfuncs(kfuncs, options)
  checkDescriptors(insns, immediates)
  checkJumps(ops, subprograms)
  checkAbnormalReturns(subprograms, ops, options.btf)
  const partial = { ops, kfuncs }
  const calls: CallMarks = {
    isSyncCallback: (at) => isSyncCallbackCall(partial, at),
    isAsyncCallback: (at) => isAsyncCallbackCall(partial, at),
    isIterNext: (at) => isIterNextCall(partial, at),
    isThrow: (at) => isThrowCall(partial, at),
    endsFunction: (at) => subprograms.some((s) => s.end === at + 1),
  }
  const attachType = attachTypeOf(spec)
  const flags = spec.flags | (options.flags ?? 0)
  const sleepable = (flags & SLEEPABLE) !== 0 || spec.type === ProgType.SYSCALL
  for (const target of immediates.values()) {
    if (target.kind === 'map' || target.kind === 'mapValue') checkMapForProgram(target.map, spec.type, sleepable)
  }
  if (!bpf) checkNoBackEdges(ops, calls)
  const flow = analyzeFlow(ops, handler === 0 ? [0] : [0, handler], calls)
  const effects = effectsOf({ ops, kfuncs, subprograms })
  const gpl = GPL.has(options.license)
  const replaced = options.target === undefined ? null : targetOf(options.target)
  const target = resolveTarget({
    program,
    attachType,
    btf: options.btf,
    get kernelBtf() {
      return options.kernelBtf
    },
    gpl,
    sleepable,
    changesPacket: effects.packetChangers.has(0),
    mightSleep: effects.sleepers.has(0),
    errorInjection: options.errorInjection ?? true,
    target: replaced,
  })
  const isExtension = spec.type === ProgType.EXT && replaced !== null
  const next = ops.map((op, at) => (op === null ? [] : successors(ops, at, calls).filter((to) => to < ops.length)))
  const params = (at: number): number => {
    const id = helperOf(partial, at)
    const kfunc = kfuncs.get(at)
    if (kfunc !== undefined) return kfuncParameters(options.kernelBtf, kfunc.btfId)
    const row = HELPERS[id - 1]
    const isRetval = id === HelperId.get_retval || id === HelperId.set_retval
    if (isRetval && !hasRetval(attachType)) return 5
    return row !== undefined && row.progTypes.includes(spec.type) ? row.args.length : 5
  }
  return {
    type: isExtension ? replaced.program.type : spec.type,
    attachType: isExtension ? replaced.program.attachType : attachType,
    attachTarget: spec.attachTarget,
    target,
    isExtension,
    isTarget,
    bpf,
    perfmon: hasCapability(options, 'perfmon'),
    sleepable,
    gpl,
    ops,
    subprograms,
    flow,
    successors: next,
    malformed,
    live: liveRegisters(ops, calls, (at) => Math.min(5, params(at))),
    immediates,
    kfuncs,
    btf: options.btf,
    kernelBtf: options.kernelBtf,
    strictAlignment: (flags & (STRICT_ALIGNMENT | ANY_ALIGNMENT)) === STRICT_ALIGNMENT,
    testStateFreq: bpf && (flags & TEST_STATE_FREQ) !== 0,
    testRegInvariants: bpf && (flags & TEST_REG_INVARIANTS) !== 0,
    effects,
    cpus: options.cpus ?? 8192,
    missingHelpers: new Set(options.missingHelpers ?? []),
  }
}

/** What can be said of kernel functions before the walk. */
function checkKfuncs(kfuncs: ProgramFacts['kfuncs'], options: VerifyOptions): void {
  for (const { name, btfId } of kfuncs.values()) {
    if (btfId !== 0 && !GPL.has(options.license)) {
      invalid('cannot call kernel function from non-GPL compatible program')
    }
    if (name.startsWith('bpf_xdp_metadata_')) invalid('metadata kfuncs require device-bound program')
  }
}

/** Number of arguments of a kernel function, 5 when its type is not known. */
function kfuncParameters(btf: Btf | null, id: number): number {
  if (btf === null || id === 0 || id >= btf.typeCount) return 5
  const func = btf.type(id)
  const proto = func.kind === BtfKind.FUNC ? btf.type(func.type) : func
  return proto.kind === BtfKind.FUNC_PROTO ? proto.params.length : 5
}

function kernelName(
  btf: Btf | null,
  ref: { readonly name: string; readonly btfId: number; readonly module: string | null },
): string {
  const known = btf !== null && ref.btfId !== 0 && ref.module === null && ref.btfId < btf.typeCount
  return known ? btf.name(ref.btfId) : ref.name
}

/** @param handler first slot of the exception callback, 0 without one */
function functionsOf(
  program: PreparedProgram,
  ops: ProgramFacts['ops'],
  btf: Btf | null,
  handler: number,
): Subprogram[] {
  const { insns } = program
  const starts = functionStarts(insns, ops, handler)
  return starts.map((start, index) => {
    const known = program.functions.find((f) => f.start === start)
    const btfId = known?.btfId ?? 0
    const type = btf === null || btfId === 0 ? null : btf.type(btfId)
    return {
      index,
      start,
      end: starts[index + 1] ?? insns.length,
      name: known?.name ?? '',
      btfId,
      global: index > 0 && type !== null && type.kind === BtfKind.FUNC && type.linkage === 1,
      reliable: true,
      isCallback: handler > 0 && start === handler,
      isAsyncCallback: handler > 0 && start === handler,
      isExceptionCallback: handler > 0 && start === handler,
      hasTailCall: false,
      hasLegacyLoad: false,
      tailCallReachable: false,
      stackDepth: 0,
    }
  })
}
