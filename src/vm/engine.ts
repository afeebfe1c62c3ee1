import { AREA } from './area.ts'
import type { InsnBuffer } from '../isa/index.ts'
import type { Facts } from './facts.ts'
import type { IndirectJumps } from './indirect.ts'
import type { Instrumentation } from './instrument.ts'
import type { LineRecord, ProgramFunction } from '../loader/index.ts'

/**
 * Layout of the fixed low part of the vm's linear memory. BPF pointers are offsets in this one memory, zero-extended
 * to 64 bits. Everything below GUARD_SIZE belongs to no BPF program: an access there, or past the end of the memory,
 * is a trap, so that a null pointer with an offset is always caught. (An access that begins in the last 8 bytes of the
 * guard may pass: engines may compare its end only.)
 */
export const GUARD_SIZE = 65536
/** The first words of the memory are always 0: what is read at a null pointer without an offset. */
export const ZERO_ADDRESS = 0
/** Inside the guard: r0 to r5 as six i64, where engines pass arguments to helpers and take their result. */
export const REGS_ADDRESS: number = AREA.guard + 1024
/** Frames of BPF stack in the memory: 512 bytes each, as the kernel counts them. */
export const FRAME_SIZE = 512
/** Stack that engines may use beside the frames of one run, for keys that they pass to callbacks. */
export const STACK_SLACK = 64
/** Most frames of one run, the entry's and those of callbacks included (MAX_CALL_FRAMES, include/linux/bpf_verifier.h). */
export const MAX_FRAMES = 8
/**
 * Inside the guard: u32, the top of the free BPF stack, which is the r10 of the next entry or callback frame. The vm
 * sets it before a run. Engines keep it while they call the machine: the bottom of the calling frame for helpers,
 * kernel functions and packet loads (so that callbacks run below it), the calling frame's own r10 for tailCall (whose
 * target takes the frame's place). run() and call() leave it as they found it, also when they throw.
 */
export const STACK_TOP_ADDRESS: number = AREA.guard + 1016

/** Inside the guard: u32, the CPU that the run is on. The vm sets it. */
export const CPU_ADDRESS: number = AREA.guard + 1012
/** Inside the guard: u32 that the JIT keeps for itself. */
export const JIT_ADDRESS: number = AREA.guard + 1008
/** Inside the guard: u32, tail calls that the run has made. The vm sets it to 0 before a run. */
export const TAIL_CALLS_ADDRESS: number = AREA.guard + 1004
/** Inside the guard: u32, the entry in the table of tail calls of the program that the last one led to. */
export const TAIL_PROGRAM_ADDRESS: number = AREA.guard + 1000
/** Inside the guard: u32, state of bpf_get_prandom_u32 when Machine.hasRandom. */
export const RANDOM_ADDRESS: number = AREA.guard + 928
/** Inside the guard: u32, address of the fake task_struct, 0 until it was made. */
export const TASK_ADDRESS: number = AREA.guard + 932
/** Inside the guard: u64 results of bpf_get_current_pid_tgid and bpf_get_current_uid_gid. */
export const TASK_IDS_ADDRESS: number = AREA.guard + 912
/** Inside the guard: name of the current task, with zeros to its end (TASK_COMM_LEN). */
export const TASK_COMM_ADDRESS: number = AREA.guard + 896
export const TASK_COMM_SIZE = 16
/**
 * Inside the guard: u32, head of the list of what is to be reclaimed when the run ends (see runtime/maps/descriptor.ts),
 * and u32 that is not 0 when there is something else to do then.
 */
export const DEFERRED_ADDRESS: number = AREA.guard + 936
export const GRACE_ADDRESS: number = AREA.guard + 940
/** Inside the guard: u32 in a shared vm, the address of the bpf_spin_lock that the run holds, or 0. */
export const HELD_LOCK_ADDRESS: number = AREA.guard + 944
/** Inside the guard: u32 in a batch, the runs that are left, the current one included. */
export const BATCH_LEFT_ADDRESS: number = AREA.guard + 996
/** Inside the guard: u32 in a batch, not 0 when the packet of the current run lies elsewhere by now. */
export const BATCH_MOVED_ADDRESS: number = AREA.guard + 992
/** Inside the guard: i64, what is left of the budget of a run whose instructions are counted. */
export const FUEL_ADDRESS: number = AREA.guard + 984
/** Inside the guard: i64, the budget that each such run starts with. */
export const BUDGET_ADDRESS: number = AREA.guard + 976
/** Inside the guard: u32 handles of maps, each at the place that mapSlot() gives; what is not there may be a map too. */
export const MAP_SLOTS_ADDRESS = 8192
export const MAP_SLOTS = 1024

/** Pages of arenas: 4096 bytes. */
export const PAGE_SHIFT = 12

/** The budget that runs start with whose instructions are counted. */
export function budgetOf(machine: Pick<Machine, 'memory'>): bigint {
  return new DataView(machine.memory.buffer).getBigInt64(BUDGET_ADDRESS, true)
}

/** Address of the word that holds the handle, when it is noted that it is a map's. */
export function mapSlot(handle: number): number {
  return MAP_SLOTS_ADDRESS + (((handle >>> 3) & (MAP_SLOTS - 1)) << 2)
}

/** Some bytes of a value. */
export interface ValuePart {
  readonly offset: number
  readonly size: number
}

/** What an engine may know of a map, to use it by itself; see runtime/maps/descriptor.ts for what lies where. */
export interface MapLayout {
  /** `lru`: a hash whose lookups mark the element. */
  readonly kind: 'array' | 'hash' | 'lru' | 'trie' | 'queue' | 'stack' | 'bloom' | 'ringbuf' | 'progArray'
  /**
   * Maps of maps, whose values are handles, which lookups give instead of the value's address: what all maps in them
   * have in common (handle, base, maxEntries and control are 0 and to be read from the map's descriptor).
   */
  readonly inner: MapLayout | null
  /** Whether values have timers, kptrs and the like, which updates and deletes must not forget. */
  readonly hasFields: boolean
  /** Parts of a value that are locks, which updates leave alone and new values have open; and all other parts. */
  readonly locks: readonly ValuePart[]
  readonly copied: readonly ValuePart[]
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  /** Address of the descriptor. */
  readonly handle: number
  /**
   * Arrays: address of value 0 (of CPU 0), which never changes. Ring buffers: address of the data. Prog arrays:
   * address of one u32 an index, the entry in Machine.tailTable; 0 for none, NO_TAIL_ENTRY for a program without.
   */
  readonly base: number
  /** Arrays, queues and stacks: bytes from one index to the next. Ring buffers: size minus 1. */
  readonly stride: number
  /** Per-CPU maps: bytes from the value of one CPU to that of the next; otherwise 0. */
  readonly cpuStride: number
  /** Values that an element has: one, or one a CPU. */
  readonly valueCount: number
  /** Hashes and tries: bytes from an element to its value. */
  readonly valueOffset: number
  /** LRU hashes: bytes from an element to the address of the next in the ring of all; otherwise 0. */
  readonly ringOffset: number
  /** Whether a hash uses deleted elements at once; otherwise it does when the run has ended. */
  readonly preallocated: boolean
  /** Bloom filters: number of hash functions. */
  readonly hashes: number
  /** Ring buffers: address of the positions. */
  readonly control: number
}

/**
 * Steps along links of a map after which there must be a circle, which a program that was not verified can make by
 * overwriting them: in a bucket (so many elements of one hash nobody can have waited for), and among all elements (of
 * which 4 GiB do not hold more).
 */
export const MAX_CHAIN: number = 1 << 22
export const MAX_ELEMENTS: number = 1 << 27

/** In a prog array: a program that only Machine.tailCall() can run. */
export const NO_TAIL_ENTRY = 0xffffffff

/**
 * Where the pages of an arena are that were not allocated, for which the kernel's programs fault. They hold zeros. Stores
 * and atomic operations that touch one do nothing, load-acquires leave their register alone, and loads give 0.
 */
export interface ArenaLayout {
  /** Address of the first page. */
  readonly base: number
  /** Address of a u32: so many bytes from `base` on may an access of up to 8 bytes begin that needs no look at the table. */
  readonly present: number
  /** Address of a table with a byte for each page of the memory, 1 for pages that are absent. */
  readonly absentPages: number
}

/** A program ready for an engine: every late reference is an address in linear memory by now. */
export interface VmCode {
  readonly name: string
  /** bpf_prog_type. */
  readonly type: number
  /**
   * ld_imm64 of maps and data have pseudo source 0 and the address (of the map's handle, or of the data) as value;
   * pseudo source 4 (FUNC) has the distance in slots to a function, as the kernel wants it (encoded as calls are); the
   * register value is the index of that function in `functions`.
   */
  readonly insns: InsnBuffer
  /** Sorted by start; the first is the entry. */
  readonly functions: readonly ProgramFunction[]
  readonly lines: readonly LineRecord[]
  /** Loads that fault read zero (programs that follow kernel pointers, where the kernel would use probe reads). */
  readonly faultReadsZero: boolean
  /** Where its indirect jumps lead to; one that is not here leads nowhere. */
  readonly jumps?: IndirectJumps | null
  /** The arena that it uses. */
  readonly arena?: ArenaLayout | null
  /** What is proved of the program. */
  readonly facts?: Facts | null
  /** What it does beside running. */
  readonly instrumentation?: Instrumentation | null
}

/** What an engine needs of the machine that it runs on. The vm implements it; engines only call it. */
export interface Machine {
  /** Whether other threads use the memory at the same time. Atomic operations have to be atomic then. */
  readonly isShared?: boolean
  /** May grow, so views must be taken anew after a helper call. */
  readonly memory: WebAssembly.Memory
  /**
   * Whether a program may call this helper or kernel function. Engines ask at compile time;
   * a missing one is an error at load, by name.
   */
  hasHelper(id: number): boolean
  /** What to say when hasHelper() is false. */
  whyNoHelper?(id: number): string
  /** Whether a helper is another one than usual, which engines must call rather than do by themselves. */
  replaces?(id: number): boolean
  /** Runs helper `id`: arguments r1 to r5 from REGS_ADDRESS + 8, result r0 to REGS_ADDRESS. */
  callHelper(id: number): void
  /** callHelper() for one helper, with what can be looked up before. The helper exists. */
  helper?(id: number): () => void
  /** The map with this handle, when an engine can use it by itself; null for anything else. */
  mapAt?(handle: number): MapLayout | null
  /** The time of bpf_ktime_get_ns as a number; null when that is not all it is. */
  readonly clock?: (() => number) | null
  /** Whether the state of bpf_get_prandom_u32 is at RANDOM_ADDRESS: a xorshift generator (13, 17, 5). */
  readonly hasRandom?: boolean
  /** Between two runs, when the words at DEFERRED_ADDRESS and GRACE_ADDRESS are not both 0: reclaims what waits. */
  endGracePeriod?(): void
  /** Entries of programs that tail calls lead to; entry 0 is not used. Null where there is no WebAssembly. */
  readonly tails?: TailTable | null
  /** Runs kernel function by BTF id; same passing of arguments as for helpers. */
  callKfunc(btfId: number): void
  /**
   * bpf_tail_call with r1 to r3 in the register area. True: the target ran (in a frame of its own) and its r0 is in the
   * register area; the calling function must return it at once. False: go on with the next instruction.
   */
  tailCall(): boolean
  /**
   * Legacy LD_ABS/LD_IND: reads the packet of the running program, big-endian, to r0 of the register area (64 bits).
   * `offset` is signed. False: out of packet, the calling function returns 0.
   */
  loadPacket(offset: number, size: number): boolean
  /** In a batch, after a run that set BATCH_MOVED_ADDRESS. */
  packetMoved?(): void
  /** The u32 at STACK_TOP_ADDRESS. */
  stackTop(): number
  /** Lowest address that frames may use. */
  stackLimit(): number
  /** Budget of loop iterations and calls for one run (fuel), after which the run traps. */
  readonly fuel: number
}

/** Functions that programs tail-call each other by: bottom of the frame, lowest frame, r1; result r0. */
export interface TailTable {
  readonly table: WebAssembly.Table
  /** Puts a function that WebAssembly exports into the table, at a place that is free or at `place`, which it returns. */
  add(entry: unknown, place?: number): number
  remove(index: number): void
}

/** Runs of an XDP program on packets that lie in memory. */
export interface XdpBatch {
  /** Address of the context, struct xdp_md, whose pointers the batch sets. */
  readonly ctx: number
  /** Stack, as for start(). */
  readonly top: number
  readonly limit: number
  /** Table of packets, two u32 each: address of the first byte, and of the byte after the last. */
  readonly table: number
  readonly tableEnd: number
  /** Address in the table of the first packet; after the last one comes the first. */
  readonly first: number
  /** Number of runs, at least one. */
  readonly times: number
  /** Address of the return values, one u32 a run. */
  readonly out: number
}

/** Why a run was stopped. */
export type TrapReason = 'memory' | 'fuel' | 'stack' | 'call' | 'instruction'

/** A compiled program. */
export interface CompiledCode {
  /**
   * Runs the entry function with r1 = `ctx`; r0 (64 bits) is in the register area afterwards.
   * @throws BpfError `trap` with program, instruction and C line
   */
  run(ctx: number): void
  /**
   * A run from the outside, with its first frame below `top` and none below `limit`: returns the low half of r0. Counts
   * tail calls anew.
   */
  start(ctx: number, top: number, limit: number): number
  /** As start(), for XDP programs and packets that lie in memory. @throws BpfError of the run that BATCH_LEFT_ADDRESS tells */
  batch?(batch: XdpBatch): void
  /**
   * run() `times` times (at least once), one after the other without leaving the engine; what a run wrote stays for
   * the next. Counts the tail calls of each by itself.
   */
  repeat?(ctx: number, times: number): void
  /**
   * Place in Machine.tails by which other programs may call this one, until there were as many releases; `place` when
   * another thread has chosen it.
   */
  retainTail?(place?: number): number
  releaseTail?(): void
  /**
   * Runs function `index` as a callback, arguments and result in the register area. Only during run(), except in
   * the interpreter.
   */
  call(index: number): void
}

/** Interpreter and JIT. */
export interface Engine {
  readonly name: 'interpreter' | 'jit'
  /** @throws BpfError `malformed` or `unsupported` with the instruction */
  compile(code: VmCode, machine: Machine): CompiledCode
}
