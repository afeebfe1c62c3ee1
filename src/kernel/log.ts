import { decodeCString } from '../bytes/index.ts'
import { Errno } from '../uapi/index.ts'

const FIRST_LOG_SIZE = 64 * 1024
/** The kernel's own limit (bpf_verifier_log_attr_valid). */
const LAST_LOG_SIZE = 0xffff_ffff >>> 2
/** bpf(2) gives EAGAIN when a signal arrives during verification. */
const EAGAIN_ATTEMPTS = 5

/** What a call of bpf(2) gave, 0 or above, or -errno. */
type Result = number

/**
 * The calls of bpf(2) that load something with a log: first as asked (level 0 means without a log), after a failure
 * once more at level 1, with a buffer that grows until the log fits. Yields the attribute of each call, takes its
 * result, and returns the last one with the log.
 * @param trueSize the log's full size in an attribute after the call, where the kernel tells (6.4), else 0
 */
export function* loadCalls<A>(
  level: number,
  attrOf: (buffer: Uint8Array | undefined, level: number) => A,
  trueSize: (attr: A) => number,
): Generator<A, { result: Result; log: string }, Result> {
  if (level === 0) {
    const result = yield* patientCall(attrOf(undefined, 0))
    if (result >= 0) return { result, log: '' }
    level = 1
  }
  let size = FIRST_LOG_SIZE
  for (;;) {
    const buffer = new Uint8Array(size)
    const attr = attrOf(buffer, level)
    const result = yield* patientCall(attr)
    if (result !== -Errno.ENOSPC || size >= LAST_LOG_SIZE) return { result, log: decodeCString(buffer) }
    size = Math.min(LAST_LOG_SIZE, Math.max(size * 4, trueSize(attr)))
  }
}

function* patientCall<A>(attr: A): Generator<A, Result, Result> {
  for (let attempt = 1; ; attempt++) {
    const result = yield attr
    if (result !== -Errno.EAGAIN || attempt === EAGAIN_ATTEMPTS) return result
  }
}

const STATISTICS =
  /^(processed \d+ insns|verification time |stack depth |mark_precise:|max_states|func#\d+ @|Validating \S+\(\) func#|Func#\d+ .*is safe|caller:|callee:|returning from |\s*$)/
const INSTRUCTION = /^\s*\d+: \([0-9a-f]{2}\)/
const STATE =
  /^(\s*\d+: |\s*)?(R\d+(_\w+)?=|frame\d+: |fp-\d+|from \d+ to \d+|live regs|Live regs|last_idx |regs=|parent )/
const SOURCE = /^;/

/** What people want to see first of a verifier log. */
export interface LogSummary {
  /** The kernel's complaint, usually one line. */
  readonly message: string
  /** Last instruction that was looked at, as printed; empty when unknown. */
  readonly insn: string
  /** Slot of that instruction, null when unknown. */
  readonly slot: number | null
  /** C line of that instruction from the log; empty when unknown. */
  readonly source: string
}

/**
 * Finds the complaint in a verifier log by structure: what is neither instruction, state, source line nor statistics.
 * Kernels differ in what they print around it, so nothing relies on its being the last line.
 */
export function summariseLog(log: string): LogSummary {
  const lines = log.split('\n')
  let end = lines.length
  const isNoise = (line: string): boolean => STATISTICS.test(line) || STATE.test(line) || SOURCE.test(line)
  // Explained logs (Linux 7.3) have a block of their own.
  const reason = lines.findLast((line) => /^\s*Reason:\s*\S/.test(line))
  while (end > 0 && (isNoise(lines[end - 1] as string) || INSTRUCTION.test(lines[end - 1] as string))) end--
  let start = end
  while (
    start > 0 &&
    end - start < 3 &&
    !isNoise(lines[start - 1] as string) &&
    !INSTRUCTION.test(lines[start - 1] as string)
  ) {
    start--
  }
  const message = reason?.trim().replace(/^Reason:\s*/, '') ?? lines.slice(start, end).join('; ').trim()
  const at = lines.slice(0, Math.max(start, 0)).findLastIndex((line) => INSTRUCTION.test(line))
  const insn = at < 0 ? '' : (lines[at] as string).replace(/\s*;.*$/, '').trim()
  const slot = at < 0 ? null : Number.parseInt(insn, 10)
  const source = at < 0 ? undefined : lines.slice(0, at).findLast((line) => SOURCE.test(line))
  return { message, insn, slot, source: source === undefined ? '' : source.replace(/^;\s*/, '').trim() }
}
