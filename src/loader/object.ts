import type { Btf, BtfExt } from '../btf/index.ts'
import { BpfError } from '../bytes/index.ts'
import type { Backend } from './backend.ts'
import { load, type LoadedObject, type LoadOptions } from './load.ts'
import { structOpsOf, type StructOpsSpec } from './struct-ops.ts'
import type { ExternSpec, FunctionSpec, MapSpec, ProgramSpec, VariableSpec } from './spec.ts'

/** Gives a backend by name; `auto` is the kernel where it can be used, else the vm. */
export type BackendResolver = (name: 'auto' | 'kernel' | 'vm') => Backend | Promise<Backend>

/** What {@link ObjectSpec} is made of. */
export interface ObjectParts {
  readonly file: string
  readonly littleEndian: boolean
  readonly license: string
  readonly version: number
  readonly btf: Btf | null
  readonly btfExt: BtfExt | null
  readonly functions: readonly FunctionSpec[]
  readonly coreOrder: readonly number[]
  readonly programs: Record<string, ProgramSpec>
  readonly maps: Record<string, MapSpec>
  readonly variables: Record<string, VariableSpec>
  readonly externs: Record<string, ExternSpec>
  readonly exceptionCallbacks: ReadonlyMap<number, number>
  readonly problems: ReadonlyMap<number, BpfError>
  readonly warnings: readonly BpfError[]
  readonly backends: BackendResolver | null
}

/**
 * A BPF object file as plain, mutable descriptions: the same on every machine. Whatever depends on a running system
 * happens in load(). The records have no prototype, so any name is a plain key; programs and maps are in libbpf's
 * order. Data sections are maps called by their section (".bss").
 */
export class ObjectSpec {
  /** File name as the caller gave it. */
  readonly file: string
  /** Object name: the file name's last part up to its first dot, as libbpf uses it in map names. */
  readonly name: string
  readonly littleEndian: boolean
  /** Text of section `license`, empty without one (not GPL-compatible). */
  license: string
  /** Number in section `version` (old kprobe programs), 0 without one. */
  version: number
  readonly btf: Btf | null
  readonly btfExt: BtfExt | null
  /** All functions, entry programs and subprograms, by index. */
  readonly functions: readonly FunctionSpec[]
  /** Functions in the order of their CO-RE records, which decides how candidates are narrowed down. */
  readonly coreOrder: readonly number[]
  readonly programs: Record<string, ProgramSpec>
  readonly maps: Record<string, MapSpec>
  readonly variables: Record<string, VariableSpec>
  /** Variables of the struct_ops sections, by name. */
  readonly structOps: Readonly<Record<string, StructOpsSpec>>
  /** Externs in libbpf's order: kconfig values by layout, then kernel symbols and functions by name. */
  readonly externs: Record<string, ExternSpec>
  /** Function that a program's `exception_callback` tag names, by function index. */
  readonly exceptionCallbacks: ReadonlyMap<number, number>
  /** Why functions cannot be loaded, by function index; programs that reach them fail with it. */
  readonly problems: ReadonlyMap<number, BpfError>
  /** What was wrong and could be ignored. */
  readonly warnings: readonly BpfError[]
  /** Resolves backend names in load(). */
  readonly backends: BackendResolver | null

  constructor(parts: ObjectParts) {
    this.file = parts.file
    this.name = objectName(parts.file)
    this.littleEndian = parts.littleEndian
    this.license = parts.license
    this.version = parts.version
    this.btf = parts.btf
    this.btfExt = parts.btfExt
    this.functions = parts.functions
    this.coreOrder = parts.coreOrder
    this.programs = parts.programs
    this.maps = parts.maps
    this.variables = parts.variables
    this.structOps = structOpsOf(parts.maps, parts.btf)
    this.externs = parts.externs
    this.exceptionCallbacks = parts.exceptionCallbacks
    this.problems = parts.problems
    this.warnings = parts.warnings
    this.backends = parts.backends
  }

  /**
   * Loads it into a backend, given itself or by name (`auto`: the kernel where it can be used, else the vm).
   * @throws BpfError `unsupported` for a big-endian object, `usage` for a name without a resolver; see {@link load}
   */
  async load(options: ObjectLoadOptions = {}): Promise<LoadedObject> {
    const { backend = 'auto', ...rest } = options
    if (typeof backend !== 'string') return load(this, backend, rest)
    if (this.backends === null) {
      throw new BpfError('usage', `backend '${backend}' has no resolver here: give the backend itself`)
    }
    return load(this, await this.backends(backend), rest)
  }
}

/** Options of {@link ObjectSpec.load}. */
export interface ObjectLoadOptions extends LoadOptions {
  readonly backend?: Backend | 'auto' | 'kernel' | 'vm'
}

/** libbpf's object name: the last part of the path up to the first dot, at most 63 characters. */
export function objectName(file: string): string {
  const base = file.slice(Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\')) + 1)
  return (base.split('.', 1)[0] ?? base).slice(0, 63)
}
