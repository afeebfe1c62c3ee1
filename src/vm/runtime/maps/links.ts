import { BpfError } from '../../../bytes/index.ts'
import { DAMAGED } from '../../trap.ts'

/** @throws BpfError `trap` after more than `most` steps along links that they must go round in a circle */
export function checkLinks(steps: number, most: number): void {
  if (steps > most) throw new BpfError('trap', DAMAGED)
}

/** Result of what user space does. @throws BpfError `trap` when what a program has overwritten leads out of the memory */
export function guarded<T>(map: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw cause instanceof RangeError ? new BpfError('trap', DAMAGED, { where: { map }, cause }) : cause
  }
}
