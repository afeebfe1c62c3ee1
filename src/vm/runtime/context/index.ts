import type { RunInput } from '../../../loader/index.ts'
import { ProgType } from '../../../uapi/index.ts'
import type { LinearMemory } from '../memory.ts'
import type { RunContext } from './context.ts'
import { RawContext } from './raw.ts'
import { SKB_PROGRAMS, SkbContext } from './skb.ts'
import { XdpContext } from './xdp.ts'

/** The context of a run of a program of type `type`, laid out in memory. */
export function createContext(memory: LinearMemory, type: number, input: RunInput): RunContext {
  if (type === ProgType.XDP) return new XdpContext(memory, input)
  if (SKB_PROGRAMS.has(type)) return new SkbContext(memory, input, type)
  return new RawContext(memory, input.ctx, RETURNS_CONTEXT.has(type))
}

/** Whether a context of this program type has the packet of the input. */
export function showsPacket(type: number): boolean {
  return type === ProgType.XDP || SKB_PROGRAMS.has(type)
}

/** Types whose test run gives the context back. */
const RETURNS_CONTEXT: ReadonlySet<number> = new Set<number>([ProgType.SYSCALL, ProgType.SK_LOOKUP])
