import { decode } from '../../../src/isa/index.ts'
import type { VmCode } from '../../../src/vm/engine.ts'
import { aluModel, branchModel } from './model.ts'

/** Runs arithmetic and branches of the first function by the models; null when it takes over `steps` instructions. */
export function interpret(code: VmCode, r1: bigint, steps: number): bigint | null {
  const r = Array<bigint>(11).fill(0n)
  r[1] = r1
  let at = 0
  for (let i = 0; i < steps; i++) {
    const op = decode(code.insns, at)
    if (op.kind === 'alu') {
      const b = op.src === null ? BigInt(op.imm) : (r[op.src] as bigint)
      r[op.dst] = aluModel(op.op, op.wide, r[op.dst] as bigint, b)
      at++
    } else if (op.kind === 'branch') {
      const b = op.src === null ? BigInt(op.imm) : (r[op.src] as bigint)
      at = branchModel(op.op, op.wide, r[op.dst] as bigint, b) ? op.target : at + 1
    } else if (op.kind === 'jump') {
      at = op.target
    } else if (op.kind === 'exit') {
      return r[0] as bigint
    } else {
      throw new Error(`the model does not know ${op.kind}`)
    }
  }
  return null
}
