import { Trap } from '../../trap.ts'
import type { SkbContext } from '../context/skb.ts'
import type { XdpContext } from '../context/xdp.ts'
import type { Runtime } from '../runtime.ts'

/**
 * A helper: r1 to r5 as unsigned low halves (whole registers through `rt`), and r0 as a number from -2^31 to 2^32-1
 * that is extended to 64 bits, or a bigint. Helpers read their arguments before they run callbacks, which use the
 * same register area.
 */
export type Helper = (rt: Runtime, r1: number, r2: number, r3: number, r4: number, r5: number) => number | bigint

/** Helpers of one group, by HelperId. */
export type HelperGroup = Readonly<Record<number, Helper>>

/** The socket buffer of the run. */
export function skbOf(rt: Runtime): SkbContext {
  const context = rt.run?.context
  if (context?.kind !== 'skb') throw new Trap('call', 'this helper needs a socket buffer, which the program has not')
  return context as SkbContext
}

/** The XDP packet of the run. */
export function xdpOf(rt: Runtime): XdpContext {
  const context = rt.run?.context
  if (context?.kind !== 'xdp') throw new Trap('call', 'this helper needs an XDP packet, which the program has not')
  return context as XdpContext
}
