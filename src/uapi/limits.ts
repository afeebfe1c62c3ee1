/** Limits of the kernel's BPF machine (include/linux/bpf.h, include/linux/filter.h, include/linux/bpf_verifier.h). */
export const Limit = {
  /** Bytes of stack of one frame, and of all frames of a call chain together (MAX_BPF_STACK). */
  STACK_SIZE: 512,
  /** Tail calls in one run (MAX_TAIL_CALL_CNT). */
  TAIL_CALLS: 33,
  /** Nested bpf-to-bpf calls, the program itself included (MAX_CALL_FRAMES). */
  CALL_FRAMES: 8,
  /** Instructions of a program, and instructions that the verifier follows (BPF_COMPLEXITY_LIMIT_INSNS). */
  INSNS: 1_000_000,
  /** Instructions of a program that an unprivileged user loads (BPF_MAXINSNS). */
  INSNS_UNPRIVILEGED: 4096,
  /** Subprograms of a program (BPF_MAX_SUBPROGS). */
  SUBPROGS: 256,
  /** Maps that one program uses (MAX_USED_MAPS). */
  USED_MAPS: 64,
  /** BTF objects that one program uses (MAX_USED_BTFS). */
  USED_BTFS: 64,
  /** Bytes of a program's or map's name, the final zero included (BPF_OBJ_NAME_LEN). */
  NAME_LENGTH: 16,
  /** Bytes of a program's tag (BPF_TAG_SIZE). */
  TAG_SIZE: 8,
  /** Arguments of a helper or kernel function in registers (MAX_BPF_FUNC_REG_ARGS). */
  ARGS: 5,
  /** Registers that a program has, r0 to r10 (MAX_BPF_REG). */
  REGISTERS: 11,
  /** Iterations of bpf_loop (BPF_MAX_LOOPS). */
  LOOPS: 8_388_608,
} as const
