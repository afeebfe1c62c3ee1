import { LdImm64Pseudo } from '../../../isa/index.ts'
import { HelperId, ProgType } from '../../../uapi/index.ts'
import { helperOf, isThrowCall } from '../calls/kinds.ts'
import { deny, invalid, Reject } from '../reject.ts'
import type { ProgramFacts } from '../walk.ts'
import type { Subprogram } from './layout.ts'

const MAX_STACK = 512
const MAX_FRAMES = 8
/** Tail calls leave the stack of the callers behind, up to 33 times. */
const MAX_ABOVE_TAIL_CALL = 256
/** Frames of this size and more get a stack of their own where the type allows it, so that they do not count. */
const MIN_PRIVATE = 64
const PRIVATE: ReadonlySet<number> = new Set<number>([
  ProgType.KPROBE,
  ProgType.TRACEPOINT,
  ProgType.PERF_EVENT,
  ProgType.RAW_TRACEPOINT,
])

/** Bytes that the JIT reserves for a function's stack. */
function rounded(depth: number): number {
  return Math.ceil(depth / 16) * 16
}

/** Stack of the deepest chain of calls, and what chains of calls that include callbacks must not do. */
export function checkStackDepth(facts: ProgramFacts): void {
  const isPrivate = PRIVATE.has(facts.type) && !facts.subprograms.some((sub) => hasTailCall(facts, sub))
  // Callbacks that run later have a stack of their own, which is never private.
  for (let i = facts.subprograms.length - 1; i >= 0; i--) {
    const sub = facts.subprograms[i] as Subprogram
    if (i === 0 || sub.isAsyncCallback)
      visit(facts, { sub, above: 0, frames: 0, isPrivate: isPrivate && i === 0 }, null)
  }
}

function hasTailCall(facts: ProgramFacts, sub: Subprogram): boolean {
  for (let i = sub.start; i < sub.end; i++) if (helperOf(facts, i) === HelperId.tail_call) return true
  return false
}

/** A function in a chain of calls. */
interface Link {
  readonly sub: Subprogram
  /** Stack of its callers. */
  readonly above: number
  /** Number of callers. */
  readonly frames: number
  readonly isPrivate: boolean
}

interface Chain {
  readonly link: Link
  readonly caller: Chain | null
}

function visit(facts: ProgramFacts, link: Link, caller: Chain | null): void {
  const { sub, above, frames, isPrivate } = link
  if (sub.index > 0 && above >= MAX_ABOVE_TAIL_CALL && hasTailCall(facts, sub)) {
    deny(`tail_calls are not allowed when call stack of previous frames is ${above} bytes. Too large`)
  }
  const own = rounded(sub.stackDepth)
  const hasOwnStack = isPrivate && own >= MIN_PRIVATE
  if (hasOwnStack && own > MAX_STACK) deny(`stack size of subprog ${sub.index} is ${own}. Too large`)
  const depth = above + (hasOwnStack ? 0 : own)
  const chain: Chain = { link, caller }
  if (depth > MAX_STACK) deny(`combined stack size of ${lengthOf(chain)} calls is ${depth}. Too large`)
  for (let i = sub.start; i < sub.end; i++) {
    if (isThrowCall(facts, i) && includesCallback(chain)) {
      invalid(`bpf_throw kfunc (insn ${i}) cannot be called from callback subprog ${sub.index}`)
    }
    const callee = calleeAt(facts, i)
    if (callee === null) continue
    const inside = frames + 1
    if (inside >= MAX_FRAMES) {
      throw new Reject('E2BIG', `the call stack of ${inside} frames is too deep !`)
    }
    visit(facts, { sub: callee, above: depth, frames: inside, isPrivate }, chain)
  }
}

/** Function that an instruction calls, or gives to somebody who calls it before the caller returns. */
function calleeAt(facts: ProgramFacts, at: number): Subprogram | null {
  const op = facts.ops[at]
  const isCall = op?.kind === 'call' && op.call === 'local'
  const isPointer = op?.kind === 'loadImm64' && op.pseudo === LdImm64Pseudo.FUNC
  if (!isCall && !isPointer) return null
  const target = isCall ? op.target : at + 1 + (op as { low: number }).low
  const callee = facts.subprograms.find((s) => s.start === target)
  if (callee === undefined || (callee.isAsyncCallback && !isCall)) return null
  if (callee.isExceptionCallback) invalid(`insn ${at} cannot call exception cb directly`)
  return callee
}

function lengthOf(chain: Chain): number {
  return chain.caller === null ? 1 : 1 + lengthOf(chain.caller)
}

function includesCallback(chain: Chain): boolean {
  return chain.link.sub.isCallback || (chain.caller !== null && includesCallback(chain.caller))
}

/** What a loop of bpf_loop that is compiled in line keeps on the stack. */
const INLINE_LOOP = 24
/** What may_goto keeps on the stack: a counter and a time. */
const MAY_GOTO = 16

/** What the walk found out about code that the kernel rewrites afterwards. */
export interface Rewrites {
  /** Whether the walk met an instruction; functions and instructions that it did not meet are removed. */
  seen(at: number): boolean
  /** Whether a call of bpf_loop is compiled in line. */
  inlineLoop(at: number): boolean
}

/**
 * `8+16`: stack of each function in bytes, as the log has it; when the program was accepted, of the code as the kernel
 * rewrote it.
 */
export function stackDepths(facts: ProgramFacts, rewrites: Rewrites | null): string {
  const depths: number[] = []
  let throws = false
  for (const sub of facts.subprograms) {
    if (rewrites !== null && !rewrites.seen(sub.start)) continue
    let counter = 0
    let loop = 0
    for (let i = sub.start; i < sub.end; i++) {
      if (rewrites === null) break
      if (!rewrites.seen(i)) continue
      if (facts.ops[i]?.kind === 'mayGoto') counter = MAY_GOTO
      if (rewrites.inlineLoop(i)) loop = INLINE_LOOP
      if (isThrowCall(facts, i)) throws = true
    }
    depths.push(Math.ceil(sub.stackDepth / 8) * 8 + counter + loop)
  }
  if (throws && !facts.subprograms.some((sub) => sub.isExceptionCallback)) depths.push(0)
  return depths.join('+')
}
