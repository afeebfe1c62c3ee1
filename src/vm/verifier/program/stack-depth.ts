import { LdImm64Pseudo } from '../../../isa/index.ts'
import { deny } from '../reject.ts'
import type { ProgramFacts } from '../walk.ts'

const MAX_STACK = 512
const MAX_FRAMES = 8

function rounded(depth: number): number {
  return Math.ceil(Math.max(depth, 1) / 16) * 16
}

/** Stack of the deepest chain of calls, counted as the kernel's interpreter-independent check does. */
export function checkStackDepth(facts: ProgramFacts): void {
  visit(facts, 0, 0, 1, false)
}

function visit(facts: ProgramFacts, index: number, above: number, frames: number, tail: boolean): void {
  const sub = facts.subprograms[index]
  if (sub === undefined) return
  if (tail && above >= 256) {
    deny(`tail_calls are not allowed when call stack of previous frames is ${above} bytes. Too large`)
  }
  const depth = above + rounded(sub.stackDepth)
  if (depth > MAX_STACK) deny(`combined stack size of ${frames} calls is ${depth}. Too large`)
  for (let i = sub.start; i < sub.end; i++) {
    const op = facts.ops[i]
    const isCall = op?.kind === 'call' && op.call === 'local'
    const isPointer = op?.kind === 'loadImm64' && op.pseudo === LdImm64Pseudo.FUNC
    if (!isCall && !isPointer) continue
    const target = isCall ? op.target : i + 1 + (op as { low: number }).low
    const callee = facts.subprograms.find((s) => s.start === target)
    if (callee === undefined) continue
    if (frames >= MAX_FRAMES) deny(`the call stack of ${frames + 1} frames is too deep !`)
    visit(facts, callee.index, depth, frames + 1, false)
  }
}
