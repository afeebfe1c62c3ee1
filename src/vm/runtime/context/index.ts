import { decodeContext, encodeContext, type RunInput } from '../../../loader/index.ts'
import { BpfError } from '../../../bytes/index.ts'
import { ProgType } from '../../../uapi/index.ts'
import type { KernelObjects } from '../kernel/objects.ts'
import type { LinearMemory } from '../memory.ts'
import { ArgumentsContext } from './arguments.ts'
import type { RunContext } from './context.ts'
import { FlowContext } from './flow.ts'
import { ARGUMENT_CONTEXTS, CONTEXT_LAYOUTS } from './layouts.ts'
import { NetfilterContext } from './netfilter.ts'
import { RawContext } from './raw.ts'
import { SKB_PROGRAMS, SkbContext } from './skb.ts'
import { StructContext } from './struct.ts'
import { XdpContext } from './xdp.ts'

/** The context of a run of a program of type `type`, laid out in memory. @throws BpfError `syscall`, `usage` */
export function createContext(memory: LinearMemory, kernel: KernelObjects, type: number, input: RunInput): RunContext {
  const { fields } = input
  if (fields !== undefined && input.ctx !== undefined) {
    throw new BpfError('usage', 'a context is given as bytes (ctx) or by fields, not both')
  }
  if (showsPacket(type)) return packetContext(memory, type, input)
  if (type === ProgType.FLOW_DISSECTOR) return new FlowContext(memory, input)
  if (type === ProgType.NETFILTER) return new NetfilterContext(memory, kernel, input)
  if (CONTEXT_LAYOUTS[type] !== undefined) return new StructContext(memory, kernel, type, input)
  if (fields === undefined) return new RawContext(memory, input.ctx, RETURNS_CONTEXT.has(type))
  if (ARGUMENT_CONTEXTS.has(type)) return new ArgumentsContext(memory, fields)
  return withFields(new RawContext(memory, encodeContext(type, fields), true), type)
}

function packetContext(memory: LinearMemory, type: number, input: RunInput): RunContext {
  const { fields, ...rest } = input
  const given = fields === undefined ? input : { ...rest, ctx: encodeContext(type, fields) }
  const context = type === ProgType.XDP ? new XdpContext(memory, given) : new SkbContext(memory, given, type)
  return fields === undefined ? context : withFields(context, type)
}

/** Lets a context that is known by its bytes give its fields. */
function withFields<C extends RunContext>(context: C, type: number): C {
  return Object.assign(context, { fields: () => decodeContext(type, context.output().ctx ?? new Uint8Array(0)) })
}

/** Whether a context of this program type has the packet of the input. */
export function showsPacket(type: number): boolean {
  return type === ProgType.XDP || SKB_PROGRAMS.has(type)
}

const MADE_ANEW: ReadonlySet<number> = new Set<number>([ProgType.FLOW_DISSECTOR, ProgType.NETFILTER])

/** Whether a program's context is made for one run from all of its input. */
export function isMadeAnew(type: number, input: RunInput): boolean {
  return input.fields !== undefined || CONTEXT_LAYOUTS[type] !== undefined || MADE_ANEW.has(type)
}

/** Types whose test run gives the context back. */
const RETURNS_CONTEXT: ReadonlySet<number> = new Set<number>([ProgType.SYSCALL])
