import type { Operation } from '../../isa/index.ts'
import { GUARD_SIZE, type TrapReason } from '../engine.ts'
import { Trap } from '../trap.ts'
import type { FunctionContext } from './context.ts'
import { Op } from './wasm/index.ts'

/** Reasons as the module passes them. */
export const TrapCode = { MEMORY: 0, FUEL: 1, STACK: 2, CALL: 3 } as const
export type TrapCode = (typeof TrapCode)[keyof typeof TrapCode]

const REASONS: readonly TrapReason[] = ['memory', 'fuel', 'stack', 'call']

/** Writes a trap at instruction `at`. */
export function emitTrap(ctx: FunctionContext, reason: TrapCode, at: number): void {
  const { code, module } = ctx
  code.i32(at)
  code.i32(reason)
  code.i32(0)
  code.i32(0)
  code.call(module.trap)
  code.op(Op.unreachable)
}

/** The Trap for what the module reported; `low` and `high` are the address local of a memory trap. */
export function makeTrap(reason: number, op: Operation | null, low: number, high: number, fuel: number): Trap {
  const word = REASONS[reason] ?? 'instruction'
  switch (reason) {
    case TrapCode.MEMORY:
      return new Trap(word, describeAccess(op, low, high))
    case TrapCode.FUEL:
      return new Trap(word, `no end after ${fuel} loop iterations and calls`)
    case TrapCode.STACK:
      return new Trap(word, 'calls are nested too deep: no stack is left for another frame')
    default:
      return new Trap(word, 'call of a function that does not exist')
  }
}

function describeAccess(op: Operation | null, low: number, high: number): string {
  const access = op === null ? null : accessOf(op)
  if (access === null) return 'bad memory access'
  const end = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
  const address = BigInt.asUintN(64, end - BigInt(access.size) + BigInt(GUARD_SIZE))
  const via = `r${access.register} ${access.off < 0 ? '-' : '+'} ${Math.abs(access.off)}`
  const what = `${access.verb} of ${access.size} bytes at address 0x${address.toString(16)} (${via})`
  return `${what} is outside of the program's memory`
}

interface Access {
  readonly verb: 'read' | 'write'
  readonly size: number
  readonly register: number
  readonly off: number
}

function accessOf(op: Operation): Access | null {
  if (op.kind === 'load' || op.kind === 'loadAcquire') {
    return { verb: 'read', size: op.size, register: op.src, off: op.off }
  }
  if (op.kind === 'store' || op.kind === 'storeRelease' || op.kind === 'atomic') {
    return { verb: 'write', size: op.size, register: op.dst, off: op.off }
  }
  return null
}
