/**
 * What the verifier wants of an argument: the kernel's enum bpf_arg_type without `ARG_` and with its extended names
 * taken apart into a base and flags.
 */
export type HelperArgType =
  | 'ANYTHING'
  | 'CONST_ALLOC_SIZE_OR_ZERO'
  | 'CONST_MAP_PTR'
  | 'CONST_SIZE'
  | 'CONST_SIZE_OR_ZERO'
  | 'KPTR_XCHG_DEST'
  | 'PTR_TO_BTF_ID'
  | 'PTR_TO_BTF_ID_SOCK_COMMON'
  | 'PTR_TO_CONST_STR'
  | 'PTR_TO_CTX'
  | 'PTR_TO_DYNPTR'
  | 'PTR_TO_FUNC'
  | 'PTR_TO_MAP_KEY'
  | 'PTR_TO_MAP_VALUE'
  | 'PTR_TO_MEM'
  | 'PTR_TO_PERCPU_BTF_ID'
  | 'PTR_TO_RINGBUF_MEM'
  | 'PTR_TO_SOCKET'
  | 'PTR_TO_SOCK_COMMON'
  | 'PTR_TO_SPIN_LOCK'
  | 'PTR_TO_STACK'
  | 'PTR_TO_TIMER'
  | 'SCALAR'

/** What a helper returns: enum bpf_return_type without `RET_`, taken apart in the same way. */
export type HelperRetType =
  | 'INTEGER'
  | 'VOID'
  | 'PTR_TO_MAP_VALUE'
  | 'PTR_TO_SOCKET'
  | 'PTR_TO_TCP_SOCK'
  | 'PTR_TO_SOCK_COMMON'
  | 'PTR_TO_MEM'
  | 'PTR_TO_MEM_OR_BTF_ID'
  | 'PTR_TO_BTF_ID'

/** Flags of argument and return types: enum bpf_type_flag, `PTR_MAYBE_NULL` as `MAYBE_NULL` and so on. */
export type HelperTypeFlag =
  | 'DYNPTR_TYPE_LOCAL'
  | 'DYNPTR_TYPE_RINGBUF'
  | 'MAYBE_NULL'
  | 'MEM_ALIGNED'
  | 'MEM_FIXED_SIZE'
  | 'MEM_PERCPU'
  | 'MEM_RDONLY'
  | 'MEM_RINGBUF'
  | 'MEM_UNINIT'
  | 'MEM_WRITE'
  | 'OBJ_RELEASE'
  | 'TRUSTED'

/** One argument of a helper. */
export interface HelperArg {
  readonly type: HelperArgType
  readonly flags: readonly HelperTypeFlag[]
  /** Kernel structure that a PTR_TO_BTF_ID argument points to. */
  readonly btf?: string
  /** Bytes that a MEM_FIXED_SIZE argument points to. */
  readonly size?: number
}

/** What a helper returns. */
export interface HelperRet {
  readonly type: HelperRetType
  readonly flags: readonly HelperTypeFlag[]
  /** Kernel structure that a PTR_TO_BTF_ID points to. */
  readonly btf?: string
}

/** One helper function. */
export interface HelperRow {
  readonly id: number
  /** Without `bpf_`. */
  readonly name: string
  /** First kernel release that has it, such as `4.1`. */
  readonly since: string
  /** Whether only programs with a GPL-compatible licence may call it. */
  readonly gplOnly: boolean
  /** Whether direct packet pointers may be passed for memory. */
  readonly packetAccess: boolean
  /** Whether it may sleep, so that only sleepable programs may call it. */
  readonly mightSleep: boolean
  /** C declaration of the uapi header, without the semicolon. */
  readonly prototype: string
  /** What the verifier checks; a variadic helper (trace_printk) has only its fixed arguments. */
  readonly args: readonly HelperArg[]
  readonly ret: HelperRet
  /**
   * Program types (ProgType) of which some program may call it, read from the getters of Linux 6.12. The attach type,
   * capabilities or the kernel configuration can narrow this further.
   */
  readonly progTypes: readonly number[]
}
