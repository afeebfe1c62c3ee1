import type { Btf } from '../btf/index.ts'
import { BpfError, isBpfError } from '../bytes/index.ts'
import { MAX_COMPARISONS, type CorePolicy, type CoreTargets } from './core/resolve.ts'
import type { ObjectSpec } from './object.ts'
import { relocateCore, type CoreSettings, type RelocatedFunctions } from './prepare/core-stage.ts'
import { flatten, reachedCoreRecords, reachedFunctions, type FlattenContext } from './prepare/flatten.ts'
import { kconfigValues, type KconfigFacts } from './prepare/kconfig.ts'
import { resolveStructOps } from './prepare/struct-ops.ts'
import { resolveSymbol, type ModuleBtf, type ModuleBtfs, type ResolvedSymbol } from './prepare/ksyms.ts'
import type { PrepareResult, ProgramSpec, StructOpsAttach } from './spec.ts'

/** What an object is prepared for. */
export interface PrepareOptions {
  /** BTF of the kernel: for CO-RE, kernel variables and functions; null when there is none. */
  readonly kernelBtf: Btf | null
  /** BTFs of loaded modules, or how to get them: they are looked at only for what the kernel's own BTF has not. */
  readonly modules?: ModuleBtfs
  /** BTF for CO-RE instead of the kernel's (libbpf's btf_custom_path); modules are not searched then. */
  readonly coreBtf?: Btf
  /** More BTFs whose types CO-RE may relocate against, beside the kernel's and its modules'. */
  readonly extraTargets?: readonly Btf[]
  /** How CO-RE chooses among types of one name; default `libbpf`. */
  readonly corePolicy?: CorePolicy
  /**
   * Without a kernel BTF programs that need one fail. `local` relocates CO-RE against the object's own types and leaves
   * kernel symbols to be found by name, which is right where memory is laid out as the object was compiled.
   */
  readonly withoutBtf?: 'fail' | 'local'
  /** The kernel's configuration, for .kconfig externs. */
  readonly kconfig?: Partial<KconfigFacts>
  /** Names of the programs to prepare; those with `autoload` unless given. */
  readonly programs?: readonly string[]
}

/** An object that is ready for a backend. */
export interface PreparedObject {
  /** One result a program, in the object's order. */
  readonly programs: readonly PrepareResult[]
  /** Contents of the .kconfig map, null when the object has none. */
  readonly kconfig: Uint8Array | null
}

/** Slots of all prepared programs of one object together; the largest real objects have a few million. */
const MAX_OBJECT_SLOTS = 1 << 24

/**
 * Links the programs of an object: applies CO-RE, resolves externs, and joins each program with the functions that it
 * calls. Pure; the spec is not changed. A program that cannot be prepared does not hide the others.
 */
export function prepare(spec: ObjectSpec, options: PrepareOptions): PreparedObject {
  const wanted = new Set(options.programs ?? autoloaded(spec))
  const programs = Object.values(spec.programs)
  const leftOut = new Set(programs.filter((p) => !wanted.has(p.name)).map((p) => p.functionIndex))
  const { corePolicy: policy = 'libbpf' } = options
  const core: CoreSettings = { targets: coreTargets(options), policy, budget: { left: MAX_COMPARISONS } }
  const shared = policy === 'libbpf' ? relocateCore(spec, (index) => !leftOut.has(index), core) : null
  // By the other policy a program as a whole decides, so that a function may differ from program to program.
  const functionsOf = (program: ProgramSpec): RelocatedFunctions => {
    if (shared !== null) return shared
    const reached = reachedFunctions(spec, program)
    return relocateCore(spec, (index) => reached.has(index), core)
  }
  const kconfig = resolveKconfig(spec, options)
  const symbols = new Map<string, ResolvedSymbol | BpfError>()
  const context: Omit<FlattenContext, 'functions'> = {
    spec,
    symbol: (name) => {
      let resolved = symbols.get(name)
      if (resolved === undefined) {
        resolved = trySymbol(spec, name, options)
        symbols.set(name, resolved)
      }
      if (resolved instanceof BpfError) throw resolved
      return resolved
    },
    kconfig: (name) => {
      const problem = kconfig?.problems.get(name)
      if (problem !== undefined) throw problem
      return spec.externs[name]?.offset ?? 0
    },
    budget: { slots: MAX_OBJECT_SLOTS },
  }
  const structOps = resolveStructOps(spec, options.kernelBtf, () => modulesOf(options))
  return {
    programs: programs
      .filter((p) => wanted.has(p.name))
      .map((program) =>
        prepareProgram({ ...context, functions: functionsOf(program) }, program, structOps.programs.get(program.name)),
      ),
    kconfig: kconfig?.bytes ?? null,
  }
}

function autoloaded(spec: ObjectSpec): string[] {
  return Object.values(spec.programs)
    .filter((program) => program.autoload)
    .map((program) => program.name)
}

function prepareProgram(
  context: FlattenContext,
  program: ProgramSpec,
  structOps: StructOpsAttach | BpfError | undefined,
): PrepareResult {
  try {
    const prepared = flatten(context, program)
    const isAttached = structOps !== undefined && !(structOps instanceof BpfError)
    return { ok: true, program: isAttached ? { ...prepared, structOps } : prepared }
  } catch (error) {
    if (!isBpfError(error)) throw error
    const located = error.within({ file: context.spec.file, program: program.name, section: program.section })
    return { ok: false, spec: program, error: located, core: reachedCoreRecords(context, program) }
  }
}

function coreTargets(options: PrepareOptions): CoreTargets | 'local' | null {
  const { coreBtf, kernelBtf, extraTargets = [] } = options
  if (coreBtf !== undefined) return { main: coreBtf, modules: () => extraTargets }
  if (kernelBtf !== null) {
    return { main: kernelBtf, modules: () => [...modulesOf(options).map((module) => module.btf), ...extraTargets] }
  }
  return options.withoutBtf === 'local' ? 'local' : null
}

function resolveKconfig(spec: ObjectSpec, options: PrepareOptions): ReturnType<typeof kconfigValues> | null {
  const map = spec.maps['.kconfig']
  if (spec.btf === null || map === undefined) return null
  const facts: KconfigFacts = {
    text: options.kconfig?.text ?? null,
    kernelVersion: options.kconfig?.kernelVersion ?? null,
    bpfCookie: options.kconfig?.bpfCookie ?? false,
    syscallWrapper: options.kconfig?.syscallWrapper ?? false,
  }
  const externs = Object.values(spec.externs).filter((extern) => extern.kind === 'kconfig')
  return kconfigValues(externs, spec.btf, map.valueSize, facts, spec.littleEndian)
}

function trySymbol(spec: ObjectSpec, name: string, options: PrepareOptions): ResolvedSymbol | BpfError {
  const extern = spec.externs[name]
  if (extern === undefined || spec.btf === null) return new BpfError('not-found', `there is no extern '${name}'`)
  const isTyped = extern.kind === 'kfunc' || extern.typeId !== 0
  if (options.kernelBtf === null && options.withoutBtf === 'local' && isTyped) return { kind: 'byName' }
  try {
    return resolveSymbol(extern, spec.btf, options.kernelBtf, () => modulesOf(options))
  } catch (error) {
    if (isBpfError(error)) return error
    throw error
  }
}

function modulesOf(options: PrepareOptions): readonly ModuleBtf[] {
  const { modules = [] } = options
  return typeof modules === 'function' ? modules() : modules
}
