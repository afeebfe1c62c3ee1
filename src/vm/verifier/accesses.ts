import { MapType } from '../../uapi/index.ts'
import type { MapFacts } from './facts/maps.ts'
import { Flag, type Reg } from './state/register.ts'

/** What a load, store or atomic operation goes to: bits, since paths may come with different pointers. */
export const AccessKind = {
  /** A frame of the program's own, or of a caller. */
  STACK: 1,
  /** The value of a hash, an array (also LRU and per CPU) or a trie. */
  MAP_VALUE: 2,
  /** The packet or its metadata. */
  PACKET: 4,
  /** A ring buffer's record, or a slice of a dynptr. */
  SLICE: 8,
  CONTEXT: 16,
  /** An object of the kernel, such as a structure that is known by BTF or a socket. */
  KERNEL: 32,
  /** Everything else, such as arenas, arguments of global functions and values of other maps. */
  OTHER: 64,
} as const

/** What the walk has learned of each instruction, joined over all paths. */
export interface WalkFacts {
  /**
   * By slot: bits of {@link AccessKind} that the instruction's own access was accepted with; 0 for instructions without.
   * A path that was cut short because an earlier state covers it adds nothing new: a state covers another only if its
   * registers have the same kinds and modifiers wherever they may still be read, and at least the same values otherwise
   * (a number that nothing depended on may be any number: as no access went through it, no access can). So each
   * concrete run behind that point is one of those that were followed from the earlier state.
   */
  readonly accesses: Uint8Array
  /** By slot: 1 for instructions that some path comes to; Linux removes all others. */
  readonly reached: Uint8Array
}

const ELEMENTS: ReadonlySet<number> = new Set<number>([
  MapType.HASH,
  MapType.ARRAY,
  MapType.PERCPU_HASH,
  MapType.PERCPU_ARRAY,
  MapType.LRU_HASH,
  MapType.LRU_PERCPU_HASH,
  MapType.LPM_TRIE,
])
const INNER_MAP = 0x1000

/** The kind of an access that was accepted. */
export function accessKind(reg: Reg): number {
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (reg.kind) {
    case 'fp':
      return AccessKind.STACK
    case 'map_value':
      return reg.flags === 0 && reg.map !== null && hasElements(reg.map) ? AccessKind.MAP_VALUE : AccessKind.OTHER
    case 'pkt':
    case 'pkt_meta':
      return AccessKind.PACKET
    case 'mem': {
      // Of all other memory of known size, the verifier does not know where it comes from.
      const isPlain = (reg.flags & ~(Flag.RDONLY | Flag.RINGBUF)) === 0
      const isSlice = reg.dynptr !== null || (reg.flags & Flag.RINGBUF) !== 0
      return isPlain && isSlice ? AccessKind.SLICE : AccessKind.OTHER
    }
    case 'ctx':
      return AccessKind.CONTEXT
    case 'ptr_':
    case 'map_ptr':
    case 'sock':
    case 'sock_common':
    case 'tcp_sock':
    case 'xdp_sock':
      return AccessKind.KERNEL
    default:
      return AccessKind.OTHER
  }
}

function hasElements(map: MapFacts): boolean {
  if (!ELEMENTS.has(map.type)) return false
  // A lookup with a constant index is taken to find something, but inner maps may have fewer elements than their shape.
  return !map.isInner || (map.type !== MapType.PERCPU_ARRAY && (map.flags & INNER_MAP) === 0)
}
