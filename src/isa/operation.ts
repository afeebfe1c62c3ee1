/** Arithmetic of ALU instructions; `movsx8` to `movsx32` are moves that sign-extend the low 8, 16 or 32 bits. */
export type AluOp =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'sdiv'
  | 'mod'
  | 'smod'
  | 'or'
  | 'and'
  | 'xor'
  | 'lsh'
  | 'rsh'
  | 'arsh'
  | 'neg'
  | 'mov'
  | 'movsx8'
  | 'movsx16'
  | 'movsx32'

/** Condition of a branch; `set` is "any common bit", a leading `s` compares as signed. */
export type BranchOp = 'eq' | 'ne' | 'gt' | 'ge' | 'lt' | 'le' | 'set' | 'sgt' | 'sge' | 'slt' | 'sle'

/** Read-modify-write operation of an atomic instruction. */
export type AtomicOp = 'add' | 'or' | 'and' | 'xor' | 'xchg' | 'cmpxchg'

/** Width of a memory access in bytes. */
export type AccessSize = 1 | 2 | 4 | 8

/** Meaning of the source field of ld_imm64 (BPF_PSEUDO_*, include/uapi/linux/bpf.h). */
export const LdImm64Pseudo = {
  /** A plain 64-bit number. */
  NONE: 0,
  /** `low` is a map's file descriptor; the register becomes the map. */
  MAP_FD: 1,
  /** `low` is a map's file descriptor, `high` an offset into its value; the register becomes that address. */
  MAP_VALUE: 2,
  /** `low` is the BTF id of a kernel variable, `high` the descriptor of a module's BTF or 0. */
  BTF_ID: 3,
  /** `low` is the distance in slots to a subprogram, relative to the next slot. */
  FUNC: 4,
  /** As MAP_FD, but an index into the load command's fd_array. */
  MAP_IDX: 5,
  /** As MAP_VALUE, but an index into the load command's fd_array. */
  MAP_IDX_VALUE: 6,
} as const
export type LdImm64Pseudo = (typeof LdImm64Pseudo)[keyof typeof LdImm64Pseudo]

/** Meaning of the source field of a call (BPF_PSEUDO_CALL and BPF_PSEUDO_KFUNC_CALL). */
export const CallPseudo = {
  /** imm is a helper's id. */
  HELPER: 0,
  /** imm is the distance in slots to a subprogram, relative to the next slot. */
  LOCAL: 1,
  /** imm is the BTF id of a kernel function, off an index into fd_array (0 = vmlinux). */
  KFUNC: 2,
} as const
export type CallPseudo = (typeof CallPseudo)[keyof typeof CallPseudo]

/**
 * One decoded instruction; `kind` is the semantics tag. Registers are 0 to 10, `off` is a signed byte offset, `imm`,
 * `low` and `high` are signed 32-bit, `target` is a slot index of the same instruction buffer (possibly out of range).
 */
export type Operation =
  /** `dst = dst op src` (or imm when `src` is null); `wide`: 64 bits, otherwise 32 bits zero-extended. */
  | { kind: 'alu'; op: AluOp; wide: boolean; dst: number; src: number | null; imm: number }
  /** Byte order of the low `bits` bits, the rest cleared: to little endian, to big endian, or unconditional swap. */
  | { kind: 'endian'; op: 'le' | 'be' | 'bswap'; bits: 16 | 32 | 64; dst: number }
  /** Cast of a pointer between address spaces (1 = arena, 0 = kernel). */
  | { kind: 'addrSpaceCast'; dst: number; src: number; from: number; to: number }
  /** 64-bit immediate in two slots; `pseudo` tells what the two words stand for. */
  | { kind: 'loadImm64'; dst: number; pseudo: LdImm64Pseudo; low: number; high: number }
  /** `dst = *(size *)(src + off)`. */
  | { kind: 'load'; size: AccessSize; signed: boolean; dst: number; src: number; off: number }
  /** `*(size *)(dst + off) = src` (or imm, sign-extended, when `src` is null). */
  | { kind: 'store'; size: AccessSize; dst: number; off: number; src: number | null; imm: number }
  /** Legacy packet access: `r0 = ntoh(*(size *)skb[imm])`. */
  | { kind: 'loadAbs'; size: 1 | 2 | 4; imm: number }
  /** Legacy packet access: `r0 = ntoh(*(size *)skb[src + imm])`. */
  | { kind: 'loadInd'; size: 1 | 2 | 4; src: number; imm: number }
  /** Atomic `*(size *)(dst + off) op= src`; `fetch`: the old value goes to src (cmpxchg: r0). */
  | { kind: 'atomic'; op: AtomicOp; fetch: boolean; size: 4 | 8; dst: number; src: number; off: number }
  /** `dst = load_acquire(*(size *)(src + off))`. */
  | { kind: 'loadAcquire'; size: AccessSize; dst: number; src: number; off: number }
  /** `store_release(*(size *)(dst + off), src)`. */
  | { kind: 'storeRelease'; size: AccessSize; dst: number; src: number; off: number }
  /** Unconditional jump; `long` when it is the 32-bit form (gotol). */
  | { kind: 'jump'; target: number; long?: boolean }
  /** Jump to the slot whose address `dst` holds (Linux 6.19). */
  | { kind: 'gotox'; dst: number }
  | {
      kind: 'branch'
      op: BranchOp
      wide: boolean
      dst: number
      src: number | null
      imm: number
      target: number
    }
  /** Jumps to `target` once the loop budget is used up. */
  | { kind: 'mayGoto'; target: number }
  | HelperCall
  | LocalCall
  | KfuncCall
  | RegisterCall
  | { kind: 'exit' }

/** Call of the helper with id `imm`. */
export interface HelperCall {
  kind: 'call'
  call: 'helper'
  imm: number
  off: number
}

/** Call of the subprogram at slot `target`; `imm` is the raw distance (-1 before relocation). */
export interface LocalCall {
  kind: 'call'
  call: 'local'
  imm: number
  off: number
  target: number
}

/** Call of the kernel function with BTF id `imm`; `off` is the index of its BTF in fd_array. */
export interface KfuncCall {
  kind: 'call'
  call: 'kfunc'
  imm: number
  off: number
}

/** Call of the address in register `src` (clang emits it for function pointers; Linux refuses it). */
export interface RegisterCall {
  kind: 'call'
  call: 'register'
  imm: number
  off: number
  src: number
}

/** The default of an exhaustive switch: the compiler proves that no value gets here. */
export function unreachable(value: never): never {
  throw new TypeError(`unexpected ${JSON.stringify(value)}`)
}
