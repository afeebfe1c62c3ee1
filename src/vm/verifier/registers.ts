import { deny } from './reject.ts'
import { NOT_INIT, type Reg } from './state/register.ts'
import type { Walk } from './walk.ts'

/** A register that an instruction reads. */
export function readReg(walk: Walk, i: number): Reg {
  const reg = walk.reg(i)
  walk.trace?.touch(i)
  if (reg.kind === '?') deny(`R${i} !read_ok`)
  return reg
}

/** The register that an instruction writes. */
export function writeReg(walk: Walk, i: number, reg: Reg): void {
  walk.trace?.touch(i)
  if (i === 10) deny('frame pointer is read only')
  walk.set(i, reg)
}

/** r1 to r5 have no value any more. */
export function clobberArguments(walk: Walk): void {
  for (let i = 1; i <= 5; i++) walk.set(i, NOT_INIT)
}
