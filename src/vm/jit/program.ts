import { BpfError } from '../../bytes/index.ts'
import { HelperId } from '../../uapi/index.ts'
import { buildCfg, decode, LdImm64Pseudo, slotsAt, type Cfg, type InsnBuffer, type Operation } from '../../isa/index.ts'
import type { VmCode } from '../engine.ts'
import { Outcome } from '../facts.ts'
import { targetsOf } from '../indirect.ts'
import { malformed, unsupported } from './context.ts'
import { mayNeedCheck } from './memory.ts'

/** Most entries of the tables that indirect jumps look their targets up in. */
const MAX_TABLE_ENTRIES = 1 << 20

/** One function, decoded and with its control flow. */
export interface FunctionCode {
  readonly index: number
  readonly name: string
  readonly cfg: Cfg
  /** Whether any access needs a bounds check. */
  readonly hasCheckedAccess: boolean
  readonly hasMachineCalls: boolean
  readonly hasMayGoto: boolean
  readonly hasIndirectJumps: boolean
}

/** A whole program, decoded. */
export interface ProgramCode {
  readonly code: VmCode
  /** By slot; null for the second slot of a 64-bit immediate. */
  readonly operations: readonly (Operation | null)[]
  readonly functions: readonly FunctionCode[]
  /** Index of the function that starts at a slot. */
  readonly functionAt: ReadonlyMap<number, number>
  /** Ids of the helpers that are called, but for tail calls. */
  readonly helpers: ReadonlySet<number>
  readonly hasTailCalls: boolean
  /** Whether it calls helpers by number (callx). */
  readonly hasRegisterCalls: boolean
  /** Whether a function's address is taken, so that helpers may call back. */
  readonly hasCallbacks: boolean
  /** Whether the program calls its entry, or takes its address. */
  readonly isEntryCalled: boolean
}

/**
 * Decodes a program and checks what decoding alone does not: that registers which may not be written are not, and that
 * calls lead to functions.
 * @throws BpfError `malformed` or `unsupported` with the instruction, `limit` for what does not fit a module
 */
export function analyse(code: VmCode): ProgramCode {
  const insns = hardWired(code)
  const operations: (Operation | null)[] = Array<Operation | null>(insns.length).fill(null)
  const functionAt = new Map(code.functions.map((f, index) => [f.start, index]))
  const helpers = new Set<number>()
  let hasCallbacks = false
  let hasTailCalls = false
  let hasRegisterCalls = false
  let isEntryCalled = false
  for (let at = 0; at < insns.length; at += slotsAt(insns, at)) {
    const op = decode(insns, at)
    operations[at] = op
    if (op.kind === 'call' && op.call === 'register') hasRegisterCalls = true
    if (op.kind === 'call' && op.call === 'helper') {
      if (op.imm === HelperId.tail_call) hasTailCalls = true
      else helpers.add(op.imm)
    }
    if (op.kind === 'loadImm64' && op.pseudo !== LdImm64Pseudo.NONE && op.pseudo !== LdImm64Pseudo.FUNC) {
      unsupported(at, `64-bit immediate with pseudo source ${op.pseudo}, which nothing has resolved`)
    }
    const target = functionTarget(op, at)
    if (target === null) continue
    const callee = functionAt.get(target)
    if (callee === undefined) malformed(at, `no function starts at slot ${target}`)
    if (callee === 0) isEntryCalled = true
    if (op.kind === 'loadImm64') hasCallbacks = true
  }
  checkTables(code)
  const functions = code.functions.map((f, index): FunctionCode => {
    const end = code.functions[index + 1]?.start ?? insns.length
    const cfg = buildCfg(insns, f.start, end, targetsOf(code.jumps))
    let hasCheckedAccess = false
    let hasMachineCalls = false
    let hasMayGoto = false
    let hasIndirectJumps = false
    for (let at = f.start; at < end; at++) {
      const op = operations[at]
      if (op === null || op === undefined) continue
      if (mayNeedCheck(op)) hasCheckedAccess = true
      if (op.kind === 'mayGoto') hasMayGoto = true
      if (op.kind === 'gotox') hasIndirectJumps = true
      if (isMachineCall(op)) hasMachineCalls = true
    }
    return { index, name: f.name, cfg, hasCheckedAccess, hasMachineCalls, hasMayGoto, hasIndirectJumps }
  })
  return {
    code,
    operations,
    functions,
    functionAt,
    helpers,
    hasTailCalls,
    hasRegisterCalls,
    hasCallbacks,
    isEntryCalled,
  }
}

const JA = 0x05

/** The instructions, with jumps of which the outcome is known made unconditional: what they skip is not compiled. */
function hardWired({ insns, facts }: VmCode): InsnBuffer {
  if (!facts?.outcome.some((outcome) => outcome !== Outcome.OPEN)) return insns
  const wired = insns.clone()
  facts.outcome.forEach((outcome, at) => {
    if (outcome === Outcome.OPEN) return
    wired.code[at] = JA
    wired.dst[at] = wired.src[at] = wired.imm[at] = 0
    if (outcome === Outcome.NEVER_TAKEN) wired.off[at] = 0
  })
  return wired
}

/** @throws BpfError `limit` for tables of indirect jumps that are too large together to be code */
function checkTables({ jumps, name }: VmCode): void {
  let entries = 0
  for (const { slots } of jumps?.values() ?? []) entries += slots.length
  if (entries <= MAX_TABLE_ENTRIES) return
  throw new BpfError('limit', `the tables of the indirect jumps have ${entries} entries, over ${MAX_TABLE_ENTRIES}`, {
    where: { program: name },
  })
}

/** Slot of the function that an instruction calls or takes the address of. */
function functionTarget(op: Operation, at: number): number | null {
  if (op.kind === 'call' && op.call === 'local') return op.target
  return op.kind === 'loadImm64' && op.pseudo === LdImm64Pseudo.FUNC ? at + 1 + op.low : null
}

function isMachineCall(op: Operation): boolean {
  if (op.kind === 'loadAbs' || op.kind === 'loadInd') return true
  // A tail call sets the top of the stack by itself.
  return op.kind === 'call' && op.call !== 'local' && !(op.call === 'helper' && op.imm === HelperId.tail_call)
}
