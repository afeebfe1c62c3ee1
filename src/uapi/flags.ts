/** Flags of MAP_CREATE, and of OBJ_GET and MAP_GET_FD_BY_ID where noted: BPF_F_*, include/uapi/linux/bpf.h. */
export const MapFlag = {
  NO_PREALLOC: 0x1,
  NO_COMMON_LRU: 0x2,
  NUMA_NODE: 0x4,
  RDONLY: 0x8,
  WRONLY: 0x10,
  STACK_BUILD_ID: 0x20,
  ZERO_SEED: 0x40,
  RDONLY_PROG: 0x80,
  WRONLY_PROG: 0x100,
  CLONE: 0x200,
  MMAPABLE: 0x400,
  PRESERVE_ELEMS: 0x800,
  INNER_MAP: 0x1000,
  LINK: 0x2000,
  PATH_FD: 0x4000,
  VTYPE_BTF_OBJ_FD: 0x8000,
  TOKEN_FD: 0x10000,
  SEGV_ON_FAULT: 0x20000,
  NO_USER_CONV: 0x40000,
} as const

/** Flags of PROG_LOAD: BPF_F_*, include/uapi/linux/bpf.h. */
export const ProgFlag = {
  STRICT_ALIGNMENT: 0x1,
  ANY_ALIGNMENT: 0x2,
  TEST_RND_HI32: 0x4,
  TEST_STATE_FREQ: 0x8,
  SLEEPABLE: 0x10,
  XDP_HAS_FRAGS: 0x20,
  XDP_DEV_BOUND_ONLY: 0x40,
  TEST_REG_INVARIANTS: 0x80,
  TOKEN_FD: 0x10000,
} as const

/** Flags of PROG_ATTACH and LINK_CREATE: BPF_F_*, include/uapi/linux/bpf.h. */
export const AttachFlag = {
  ALLOW_OVERRIDE: 0x1,
  ALLOW_MULTI: 0x2,
  REPLACE: 0x4,
  BEFORE: 0x8,
  AFTER: 0x10,
  ID: 0x20,
  PREORDER: 0x40,
  LINK: 0x2000,
} as const

/** Flags of map updates and lookups (BPF_ANY and following). */
export const UpdateFlag = {
  ANY: 0,
  NOEXIST: 1,
  EXIST: 2,
  LOCK: 4,
} as const

/** Flags of PROG_TEST_RUN. */
export const TestRunFlag = {
  RUN_ON_CPU: 0x1,
  XDP_LIVE_FRAMES: 0x2,
  SKB_CHECKSUM_COMPLETE: 0x4,
} as const

/** Flags of the ring buffer helpers. */
export const RingbufFlag = {
  NO_WAKEUP: 0x1,
  FORCE_WAKEUP: 0x2,
} as const
