import type { MapFacts } from '../facts/maps.ts'
import { constant, type Scalar, UNKNOWN, ZERO } from '../domain/bounds.ts'

/** What a register holds, in the word that the kernel prints for it. */
export type Kind =
  | '?'
  | 'scalar'
  | 'ctx'
  | 'map_ptr'
  | 'map_value'
  | 'map_key'
  | 'fp'
  | 'pkt'
  | 'pkt_meta'
  | 'pkt_end'
  | 'flow_keys'
  | 'sock'
  | 'sock_common'
  | 'tcp_sock'
  | 'xdp_sock'
  | 'tp_buffer'
  | 'ptr_'
  | 'mem'
  | 'arena'
  | 'buf'
  | 'func'
  | 'dynptr_ptr'

/** Modifiers of a pointer kind (enum bpf_type_flag). */
export const Flag = {
  MAYBE_NULL: 1,
  RDONLY: 2,
  RINGBUF: 4,
  USER: 8,
  PERCPU: 16,
  UNTRUSTED: 32,
  TRUSTED: 64,
  RCU: 128,
  /** Object from bpf_obj_new. */
  ALLOC: 256,
  NON_OWN_REF: 512,
  DYNPTR_LOCAL: 1024,
  DYNPTR_RINGBUF: 2048,
} as const

/** State of a dynptr stack object or argument. */
export interface DynptrState {
  readonly type: 'local' | 'ringbuf' | 'skb' | 'xdp' | 'skb_meta' | 'file'
  /** Identity that slices of it refer to. */
  readonly id: number
  /** First of its two stack slots. */
  readonly first: boolean
}

/** State of an open-coded iterator in its stack slot. */
export interface IterState {
  readonly type: string
  readonly state: 'active' | 'drained'
  readonly depth: number
}

/**
 * What is known of one register or spilled value. Shared between states: after it was stored in a frame it is never
 * changed, a change is a clone that takes its place.
 */
export class Reg {
  kind: Kind = '?'
  flags = 0
  /** Known part of a pointer's offset; for a scalar linked by `id`, see `delta`. */
  off = 0
  /** A scalar's value, or the variable part of a pointer's offset. */
  value: Scalar = ZERO
  /** Identity shared by copies: null checks, packet ranges, linked scalars. 0 for none. */
  id = 0
  /** Distance to the linked scalar with the same id (BPF_ADD_CONST), null when equal. */
  delta: number | null = null
  /** The distance was added in 32 bits (BPF_ADD_CONST32). */
  delta32 = false
  /** Reference that must be released, 0 for none. */
  refId = 0
  /** Bytes of packet known to be readable from the base; negative: at (-1) or beyond (-2) the packet's end. */
  range = 0
  map: MapFacts | null = null
  /** Distinguishes inner maps of different lookups. */
  mapUid = 0
  /** Type in `btf`, for `ptr_`. */
  btfId = 0
  /** Whose BTF `btfId` is in. */
  btf: 'kernel' | 'program' = 'kernel'
  /** Size of `mem` in bytes. */
  memSize = 0
  frame = 0
  subprog = 0
  dynptr: DynptrState | null = null
  iter: IterState | null = null
  /** Saved interrupt flags in a stack slot: by bpf_res_spin_lock_irqsave rather than bpf_local_irq_save. */
  irqByLock = false
  /** Scalars: the exact bounds matter for safety, so pruning must compare them. */
  precise = false

  clone(): Reg {
    const to = new Reg()
    to.kind = this.kind
    to.flags = this.flags
    to.off = this.off
    to.value = this.value
    to.id = this.id
    to.delta = this.delta
    to.delta32 = this.delta32
    to.refId = this.refId
    to.range = this.range
    to.map = this.map
    to.mapUid = this.mapUid
    to.btfId = this.btfId
    to.btf = this.btf
    to.memSize = this.memSize
    to.frame = this.frame
    to.subprog = this.subprog
    to.dynptr = this.dynptr
    to.iter = this.iter
    to.irqByLock = this.irqByLock
    to.precise = this.precise
    return to
  }

  /** The same with another value. */
  withValue(value: Scalar): Reg {
    const to = this.clone()
    to.value = value
    return to
  }

  get mayBeNull(): boolean {
    return (this.flags & Flag.MAYBE_NULL) !== 0
  }
}

export const NOT_INIT: Reg = new Reg()

/** A scalar of which nothing is known yet. */
export function unknownReg(): Reg {
  return scalarReg(UNKNOWN)
}

export function scalarReg(value: Scalar, precise: boolean = false): Reg {
  const to = new Reg()
  to.kind = 'scalar'
  to.value = value
  to.precise = precise
  return to
}

/** A known number; imprecise until something depends on it. */
export function constReg(value: number): Reg {
  return scalarReg(constant(value))
}

/** A pointer of a kind at offset 0. */
export function pointerReg(kind: Kind, flags: number = 0): Reg {
  const to = new Reg()
  to.kind = kind
  to.flags = flags
  return to
}

/** Kinds that bounds arithmetic moves inside of an object of known size. */
export function isPacketPointer(kind: Kind): boolean {
  return kind === 'pkt' || kind === 'pkt_meta'
}

export function isSocketKind(kind: Kind): boolean {
  return kind === 'sock' || kind === 'sock_common' || kind === 'tcp_sock' || kind === 'xdp_sock'
}

/** "rdonly_mem_or_null": the kernel's words for a kind with its modifiers. */
export function kindName(kind: Kind, flags: number): string {
  const prefix =
    (flags & Flag.RDONLY ? 'rdonly_' : '') +
    (flags & Flag.RINGBUF ? 'ringbuf_' : '') +
    (flags & Flag.USER ? 'user_' : '') +
    (flags & Flag.PERCPU ? 'percpu_' : '') +
    (flags & Flag.RCU ? 'rcu_' : '') +
    (flags & Flag.UNTRUSTED ? 'untrusted_' : '') +
    (flags & Flag.TRUSTED ? 'trusted_' : '')
  const postfix = flags & Flag.MAYBE_NULL ? (kind === 'ptr_' ? 'or_null_' : '_or_null') : ''
  return prefix + kind + postfix
}

export function regName(reg: Reg): string {
  return kindName(reg.kind, reg.flags)
}
