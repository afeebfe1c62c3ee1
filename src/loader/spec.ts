import type { InsnBuffer } from '../isa/index.ts'
import type { BpfError } from '../bytes/index.ts'
import type { ProgramRef } from './link.ts'

/** A symbol reference of one instruction, resolved to what it names. Instruction indices are slots in the function. */
export type Reference =
  /** ld_imm64 of a map's descriptor. */
  | { readonly kind: 'map'; readonly insn: number; readonly map: string }
  /** ld_imm64 of an address inside a global-data map; `offset` in bytes. */
  | { readonly kind: 'mapValue'; readonly insn: number; readonly map: string; readonly offset: number }
  /** Call of another function of the object, in whatever section it lies. */
  | { readonly kind: 'call'; readonly insn: number; readonly functionIndex: number }
  /** ld_imm64 of a function's address (a callback). */
  | { readonly kind: 'functionAddress'; readonly insn: number; readonly functionIndex: number }
  /** ld_imm64 of a .kconfig variable's address. */
  | { readonly kind: 'kconfig'; readonly insn: number; readonly extern: string }
  /** ld_imm64 of a kernel symbol's address, typed or not. */
  | { readonly kind: 'ksym'; readonly insn: number; readonly extern: string }
  /** Call of a kernel function. */
  | { readonly kind: 'kfunc'; readonly insn: number; readonly extern: string }
  /** ld_imm64 of the address of a table of this function's slots, for indirect jumps. */
  | { readonly kind: 'jumpTable'; readonly insn: number; readonly targets: readonly number[] }

/** One line record of .BTF.ext; `insn` is a slot in the function or program it belongs to. */
export interface LineRecord {
  readonly insn: number
  readonly file: string
  readonly line: number
  readonly column: number
  readonly text: string
  /** Raw string offsets in the object's BTF, as bpf_line_info wants them. */
  readonly fileOffset: number
  readonly textOffset: number
}

/** One CO-RE relocation as the object has it. */
export interface CoreRelocation {
  /** Slot in the function. */
  readonly insn: number
  /** Root type in the object's BTF. */
  readonly typeId: number
  /** Accessor string, such as "0:1:2". */
  readonly access: string
  /** bpf_core_relo_kind, 0 to 12. */
  readonly kind: number
}

/** A function of the object: an entry program or a subprogram. */
export interface FunctionSpec {
  readonly index: number
  readonly name: string
  /** ELF section that holds it, with the `?` of optional programs kept. */
  readonly section: string
  /** First slot in that section. */
  readonly sectionInsn: number
  readonly bind: 'local' | 'global' | 'weak'
  /** Its own instructions, before any relocation. */
  readonly insns: InsnBuffer
  readonly references: readonly Reference[]
  readonly coreRelocations: readonly CoreRelocation[]
  readonly lines: readonly LineRecord[]
  /** FUNC type in the object's BTF, 0 when there is none. */
  readonly btfId: number
}

/** An entry program: a plain description that may be changed until load(). */
export interface ProgramSpec {
  readonly name: string
  /** Section name as libbpf reports it (without a leading `?`). */
  readonly section: string
  readonly functionIndex: number
  /** bpf_prog_type; 0 when the section name says nothing. */
  type: number
  /** Expected attach type, or null. */
  attachType: number | null
  /** BPF_F_* load flags, such as BPF_F_SLEEPABLE. */
  flags: number
  /** What the section name says behind its prefix ("sched/sched_switch"), or null. */
  attachTarget: string | null
  /**
   * A loaded program whose function `attachTarget` is, in place of one of the kernel: freplace programs need one, and
   * fentry and fexit programs may have one.
   */
  attachProgram?: ProgramRef
  /** Whether load() loads it; false for `?` sections. */
  autoload: boolean
}

/** Declared pinning of a map (LIBBPF_PIN_*). */
export type MapPinning = 'none' | 'by-name'

/** A map: a plain description that may be changed until load(). Sizes in bytes. */
export interface MapSpec {
  readonly name: string
  type: number
  keySize: number
  valueSize: number
  maxEntries: number
  /** BPF_F_* map flags. */
  flags: number
  numaNode: number | null
  mapExtra: bigint
  pinning: MapPinning
  /** Whether load() creates it. */
  autocreate: boolean
  /** Types of key and value in the object's BTF; 0 for none. A data section has its DATASEC as value type. */
  keyTypeId: number
  valueTypeId: number
  /** Definition of inner maps, for arrays and hashes of maps. */
  inner: MapSpec | null
  /** Statically initialised slots: index to map name (map-in-map) or program name (prog array; struct_ops: member index). */
  slots: ReadonlyMap<number, string>
  /** First contents of a global-data or struct_ops map, or of an arena with variables; otherwise null. Written through by variables. */
  contents: Uint8Array | null
  /** Which kind of data section this map stands for, otherwise null. */
  readonly dataSection: 'data' | 'rodata' | 'bss' | 'kconfig' | 'struct_ops' | null
  /** Frozen after its contents are written. */
  readonly frozen: boolean
  /**
   * Name of the only program that may use the map; set it before load(). The kernel compares a SHA-256 of the program
   * (Linux 6.18, excl_prog_hash of BPF_MAP_CREATE).
   */
  exclusiveProgram?: string
}

/** A global variable of the object. */
export interface VariableSpec {
  readonly name: string
  /** Map that holds it. */
  readonly map: string
  /** Bytes from the start of its section. */
  readonly offset: number
  readonly size: number
  /** Its C type in the object's BTF (of the variable, not the VAR record); 0 without BTF. */
  readonly typeId: number
  readonly readonly: boolean
  /** Value by C type; see readValue() of elfbee/btf. */
  get(): unknown
  /** @throws BpfError `type-mismatch` when the value does not fit the C type */
  set(value: unknown): void
}

/** An extern declaration: a .kconfig value, or a kernel symbol or function. */
export interface ExternSpec {
  readonly name: string
  readonly kind: 'kconfig' | 'ksym' | 'kfunc'
  readonly weak: boolean
  /** Type in the object's BTF (int for a kconfig value, FUNC for a kfunc); 0 for an untyped ksym. */
  readonly typeId: number
  /** Bytes from the start of the .kconfig map; 0 for the others. */
  readonly offset: number
  readonly size: number
}

/** How one CO-RE relocation came out: what was asked, what was tried, what matched and why not. */
export interface CoreRecord {
  /** Slot in the prepared program. */
  readonly insn: number
  /** Function that holds it. */
  readonly function: string
  readonly kind: number
  /** Kind in words ("byte_off"). */
  readonly kindName: string
  /** The local type and accessor in C terms ("struct task_struct.pid"). */
  readonly asked: string
  readonly localTypeId: number
  readonly access: string
  readonly candidates: readonly CoreCandidate[]
  /** Index into `candidates` of the one used, or null. */
  readonly matched: number | null
  /** Value that the object was compiled with. */
  readonly localValue: bigint | null
  /** Value written to the instruction, null when it was poisoned. */
  readonly targetValue: bigint | null
  readonly outcome: 'applied' | 'poisoned' | 'failed'
  /** Why it was poisoned or failed. */
  readonly reason: string | null
  readonly sourceLine: string | null
}

/** One target type that was tried for a CO-RE relocation. */
export interface CoreCandidate {
  readonly typeId: number
  /** "struct task_struct". */
  readonly name: string
  readonly matches: boolean
  /** First thing that differs, when it does not match. */
  readonly reason: string | null
  /** The struct or union in which it differs, beside the object's own; null when it matches or is none. */
  readonly layout: CoreLayout | null
}

/** A struct or union of the object and one of the target, side by side. */
export interface CoreLayout {
  /** "struct task_struct (8 bytes)", as the object was compiled. */
  readonly local: string
  /** The same of the target. */
  readonly target: string
  /** The members that the object knows, in its order. */
  readonly rows: readonly CoreLayoutRow[]
  /** Members of the target that the object does not know. */
  readonly otherMembers: number
}
export interface CoreLayoutRow {
  readonly name: string
  readonly local: CoreMember
  /** Null when the target has no member of that name. */
  readonly target: CoreMember | null
  /** Names of the target that a missing member may have now. */
  readonly similar: readonly string[]
}
export interface CoreMember {
  readonly name: string
  /** In C: "struct list_head *". */
  readonly type: string
  /** Bits from the start of the struct, through anonymous members. */
  readonly bitOffset: number
  /** Bytes of its type. */
  readonly size: number
  /** Bits of a bit-field, 0 for others. */
  readonly bitSize: number
}

/** A reference that only the backend can resolve, in a flattened program. */
export type LateReference =
  | { readonly kind: 'map'; readonly insn: number; readonly map: string }
  | { readonly kind: 'mapValue'; readonly insn: number; readonly map: string; readonly offset: number }
  /** Typed kernel variable; `btfId` in the kernel's BTF; `module` null for vmlinux. */
  | {
      readonly kind: 'ksymBtf'
      readonly insn: number
      readonly name: string
      readonly btfId: number
      readonly module: string | null
    }
  /** Untyped kernel symbol. */
  | { readonly kind: 'ksymAddress'; readonly insn: number; readonly name: string; readonly weak: boolean }
  /** Kernel function; `btfId` of its FUNC, 0 when unresolved and weak. */
  | {
      readonly kind: 'kfunc'
      readonly insn: number
      readonly name: string
      readonly btfId: number
      readonly module: string | null
      readonly weak: boolean
    }
  /** Table of slots in the prepared program. */
  | { readonly kind: 'jumpTable'; readonly insn: number; readonly targets: readonly number[] }

/** Where a function starts in a flattened program. */
export interface ProgramFunction {
  readonly name: string
  /** First slot. */
  readonly start: number
  /** FUNC in the object's BTF, 0 for none. */
  readonly btfId: number
}

/**
 * A program with its subprograms appended, calls linked and CO-RE applied. What is left to the backend are the
 * late references (map descriptors and addresses): their ld_imm64 has src set to the pseudo source and imm 0
 * (mapValue: the second slot's imm holds the offset).
 */
export interface PreparedProgram {
  readonly spec: ProgramSpec
  readonly insns: InsnBuffer
  readonly functions: readonly ProgramFunction[]
  readonly lateReferences: readonly LateReference[]
  readonly lines: readonly LineRecord[]
  readonly core: readonly CoreRecord[]
  /** Function pointer of the kernel that a struct_ops program implements; absent where no variable says or none is there. */
  readonly structOps?: StructOpsAttach
}

/** A struct_ops variable as one kernel has its type. */
export interface StructOpsLayout {
  /** The value type (bpf_struct_ops_NAME) in the BTF of `module`, or of vmlinux when that is null. */
  readonly valueTypeId: number
  readonly module: string | null
  /** The value without the functions. */
  readonly value: Uint8Array
  /** Where in the value which programs' descriptors go. */
  readonly functions: readonly { readonly offset: number; readonly program: string }[]
}

/** Which function pointer of the kernel a struct_ops program implements. */
export interface StructOpsAttach {
  /** The struct in the BTF of `module`, or of vmlinux when that is null. */
  readonly typeId: number
  readonly module: string | null
  /** Member index: the program's expected attach type. */
  readonly member: number
  readonly memberName: string
}

/** Outcome of preparing one program; one failure does not hide the others. */
export type PrepareResult =
  | { readonly ok: true; readonly program: PreparedProgram }
  | { readonly ok: false; readonly spec: ProgramSpec; readonly error: BpfError; readonly core: readonly CoreRecord[] }
