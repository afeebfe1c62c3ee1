import { LdImm64Pseudo } from '../../../isa/index.ts'
import { HelperId, ProgType } from '../../../uapi/index.ts'
import { deny } from '../reject.ts'
import type { ProgramFacts } from '../walk.ts'

const MAX_STACK = 512
const MAX_FRAMES = 8
/** Frames of this size and more get a stack of their own where the type allows it, so that they do not count. */
const MIN_PRIVATE = 64
const PRIVATE: ReadonlySet<number> = new Set<number>([
  ProgType.KPROBE,
  ProgType.TRACEPOINT,
  ProgType.PERF_EVENT,
  ProgType.RAW_TRACEPOINT,
])

function rounded(depth: number): number {
  return Math.ceil(Math.max(depth, 1) / 16) * 16
}

/** Stack of the deepest chain of calls, counted as the kernel's interpreter-independent check does. */
export function checkStackDepth(facts: ProgramFacts): void {
  const hasTailCall = facts.ops.some(
    (op) => op?.kind === 'call' && op.call === 'helper' && op.imm === HelperId.tail_call,
  )
  visit(facts, 0, 0, 1, PRIVATE.has(facts.type) && !hasTailCall)
}

function visit(facts: ProgramFacts, index: number, above: number, frames: number, isPrivate: boolean): void {
  const sub = facts.subprograms[index]
  if (sub === undefined) return
  if (sub.stackDepth > MAX_STACK) deny(`stack size ${sub.stackDepth} of subprog ${index} is too large`)
  const own = rounded(sub.stackDepth)
  const depth = above + (isPrivate && own >= MIN_PRIVATE ? 0 : own)
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
    visit(facts, callee.index, depth, frames + 1, isPrivate)
  }
}

/** `8+16`: stack of each function that was walked, in bytes. */
export function stackDepths(facts: ProgramFacts): string {
  return facts.subprograms.map((sub) => sub.stackDepth).join('+')
}
