import { BpfError } from '../../../bytes/index.ts'
import { DAMAGED } from '../../trap.ts'

/** @throws BpfError `trap` after more than `most` steps along links that they must go round in a circle */
export function checkLinks(steps: number, most: number): void {
  if (steps > most) throw new BpfError('trap', DAMAGED)
}

/** What user space is told when something that a program may have overwritten led out of the memory. */
export function damaged(cause: unknown, map: string): unknown {
  return cause instanceof RangeError ? new BpfError('trap', DAMAGED, { where: { map }, cause }) : cause
}
