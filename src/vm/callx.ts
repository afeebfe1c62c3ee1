import { HelperId } from '../uapi/index.ts'
import type { Machine } from './engine.ts'
import { Trap } from './trap.ts'

/** callx: runs the helper whose id a register holds, by its halves. */
export function callHelperAt(machine: Machine, id: number, upper: number): void {
  if (upper !== 0 || id === HelperId.tail_call || !machine.hasHelper(id)) {
    const value = (BigInt(upper) << 32n) | BigInt(id >>> 0)
    throw new Trap('call', `callx of ${value}, which is no helper of the vm`)
  }
  machine.callHelper(id)
}
