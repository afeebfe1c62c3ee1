import { isConst, isZero, sminOf, umaxOf, uminBig, uminOf, umaxBig } from '../domain/bounds.ts'
import { accessBtf } from '../memory/btf.ts'
import { checkBuffer, checkMapFlags, checkMapValue } from '../memory/access.ts'
import { checkPacket, checkRegion, MAX_OFFSET } from '../memory/region.ts'
import { checkStackRange } from '../memory/stack.ts'
import { ProgType } from '../../../uapi/index.ts'
import { accessContext } from '../context/access.ts'
import { markPrecise } from '../precision.ts'
import { deny, Reject } from '../reject.ts'
import type { MapFacts } from '../facts/maps.ts'
import { Flag, regName } from '../state/register.ts'
import type { Walk } from '../walk.ts'

/** Program types whose context the kernel does not translate, so that programs see what is there. */
const PLAIN_CONTEXT: ReadonlySet<number> = new Set<number>([
  ProgType.KPROBE,
  ProgType.TRACEPOINT,
  ProgType.RAW_TRACEPOINT,
  ProgType.RAW_TRACEPOINT_WRITABLE,
  ProgType.TRACING,
  ProgType.LSM,
  ProgType.STRUCT_OPS,
  ProgType.SYSCALL,
  ProgType.NETFILTER,
])

/**
 * Memory that a call gets by pointer, which may be null where the call allows it: `size` bytes must be there, initialised unless `raw`. True when the call fills
 * stack that was not initialised, so that the caller has to simulate the writes.
 */
export function checkMemory(
  walk: Walk,
  regno: number,
  size: number,
  zeroAllowed: boolean,
  write: boolean,
  raw: boolean = false,
): boolean {
  const reg = walk.reg(regno)
  const name = regName(reg)
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (reg.kind) {
    case 'pkt':
    case 'pkt_meta':
      checkPacket(reg, regno, reg.off, size, zeroAllowed)
      return false
    case 'map_key':
      if (write) deny(`R${regno} cannot write into ${name}`)
      checkRegion(reg, regno, reg.off, size, reg.map?.keySize ?? 0, zeroAllowed)
      return false
    case 'map_value':
      checkMapFlags(reg.map as MapFacts, reg.off, size, write)
      checkMapValue(reg, regno, reg.off, size, zeroAllowed, false)
      return false
    case 'mem':
      if (write && reg.flags & Flag.RDONLY) deny(`R${regno} cannot write into ${name}`)
      checkRegion(reg, regno, reg.off, size, reg.memSize, zeroAllowed)
      return false
    case 'buf':
      if (write && reg.flags & Flag.RDONLY) deny(`R${regno} cannot write into ${name}`)
      checkBuffer(reg, regno, reg.off, reg.flags & Flag.RDONLY ? 'rdonly' : 'rdwr', size)
      return false
    case 'fp':
      return checkStackRange(walk, reg, regno, reg.off, size, zeroAllowed, write, raw)
    case 'ptr_':
      accessBtf(walk, reg, regno, reg.off, size, false)
      return false
    case 'ctx':
      // Contexts that are memory as they are: the last byte says whether all of it is there.
      if (!PLAIN_CONTEXT.has(walk.facts.type)) break
      if (size > 0) accessContext(walk, reg, regno, reg.off + size - 1, 1, write, false)
      else if (!zeroAllowed) throw new Reject('EACCES', '')
      return false
  }
  if (zeroAllowed && size === 0 && reg.kind === 'scalar' && isConst(reg.value) && isZero(reg.value)) return false
  return deny(`R${regno} type=${name} expected=fp`)
}

/** A size argument and the memory in the register before it. */
export function checkSize(walk: Walk, regno: number, zeroAllowed: boolean, write: boolean, raw: boolean): boolean {
  const size = walk.reg(regno)
  if (size.kind !== 'scalar') deny(`R${regno} type=${regName(size)} expected=scalar`)
  const { value } = size
  if (sminOf(value) < 0) deny(`R${regno} min value is negative, either use unsigned or 'var &= const'`)
  if (uminOf(value) === 0 && !zeroAllowed) {
    deny(`R${regno} invalid zero-sized read: u64=[${uminBig(value)},${umaxBig(value)}]`)
  }
  if (umaxOf(value) >= MAX_OFFSET) {
    deny(`R${regno} unbounded memory access, use 'var &= const' or 'if (var < const)'`)
  }
  const simulate = checkMemory(walk, regno - 1, umaxOf(value), zeroAllowed, write, raw && isConst(value))
  markPrecise(walk, regno)
  return simulate
}
