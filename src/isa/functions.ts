import { BpfError } from '../bytes/index.ts'
import type { InsnBuffer } from './insns.ts'
import { CallPseudo, LdImm64Pseudo } from './operation.ts'

const CALL = 0x85
const LDDW = 0x18

/** Slots `start` to `end` (exclusive) of one function. */
export interface FunctionRange {
  readonly start: number
  readonly end: number
}

/**
 * The functions of a relocated program: the main program at slot 0, and every target of a local call or of a function
 * pointer (ld_imm64 with FUNC), in order of address. As in the kernel, a function reaches to the next entry.
 * @throws BpfError `malformed` when a target is outside of the program or the second slot of a 64-bit immediate
 */
export function functions(insns: InsnBuffer): readonly FunctionRange[] {
  if (insns.length === 0) return []
  const entry = new Uint8Array(insns.length)
  const second = new Uint8Array(insns.length)
  entry[0] = 1
  for (let i = 0; i < insns.length; i++) {
    const code = insns.code[i]
    const src = insns.src[i]
    const isCall = code === CALL && src === CallPseudo.LOCAL
    const isPointer = code === LDDW && src === LdImm64Pseudo.FUNC
    if (isCall || isPointer) {
      const target = i + 1 + (insns.imm[i] as number)
      if (!(target >= 0 && target < insns.length)) {
        throw new BpfError(
          'malformed',
          `function at slot ${target} is outside of the program's ${insns.length} slots`,
          {
            where: { insn: i },
          },
        )
      }
      entry[target] = 1
    }
    if (code === LDDW && i + 1 < insns.length) second[++i] = 1
  }
  const ranges: FunctionRange[] = []
  let start = 0
  for (let i = 1; i <= insns.length; i++) {
    if (i < insns.length && entry[i] === 0) continue
    if (i < insns.length && second[i] === 1) {
      throw new BpfError('malformed', `function at slot ${i} starts inside a 64-bit immediate`, { where: { insn: i } })
    }
    ranges.push({ start, end: i })
    start = i
  }
  return ranges
}
