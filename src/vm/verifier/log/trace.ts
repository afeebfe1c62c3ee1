import { CallPseudo, InsnBuffer, LdImm64Pseudo, printKernel } from '../../../isa/index.ts'
import type { LineRecord, PreparedProgram } from '../../../loader/index.ts'
import type { State } from '../state/state.ts'
import { EVERYTHING, frameText } from './frame.ts'
import type { Log } from './log.ts'
import type { TypeNames } from './register.ts'
import { lineAt, lineText } from './source.ts'

/** Column at which states stand after short instructions, and the step of the columns after that. */
const COLUMN = 40
const COLUMN_STEP = 8

/** Names that the text needs besides the program itself. */
export interface TraceNames extends TypeNames {
  /** Kernel functions called, by slot. */
  readonly kfuncs: ReadonlyMap<number, { readonly name: string; readonly btfId: number }>
  /** Slots of 64-bit immediates that stand for an address, printed as 0. */
  readonly immediates: ReadonlyMap<number, unknown>
}

/** Writes what the walk does into a {@link Log}. Exists only when somebody wants the text. */
export class Trace {
  readonly log: Log
  readonly names: TraceNames
  /** Registers and slots that the current instruction touched, as bit sets. */
  regs = 0
  low = 0
  high = 0
  /** The next instruction does not continue the one before it in the text. */
  broken = false
  readonly #insns: InsnBuffer
  readonly #lines: readonly LineRecord[]
  readonly #texts: string[] = []
  #lastLine: LineRecord | null = null
  /** Position after the last instruction, and its length. */
  #insnEnd = -1
  #insnLength = 0

  constructor(log: Log, program: PreparedProgram, names: TraceNames) {
    this.log = log
    this.names = names
    this.#lines = program.lines
    this.#insns = program.insns
  }

  /** Whether the object describes where the program comes from (without, the kernel gets no function types either). */
  get hasLines(): boolean {
    return this.#lines.length > 0
  }

  /** `(bf) r1 = r10`, as the kernel prints it. */
  insnText(at: number): string {
    return (this.#texts[at] ??= this.#print(at))
  }

  #print(at: number): string {
    const text = printKernel(this.#insns, at, {
      call: (insns, i) => (insns.src[i] === CallPseudo.KFUNC ? this.names.kfuncs.get(i)?.name : undefined),
      imm64: (insns, i) => {
        const isAddress = insns.src[i] !== LdImm64Pseudo.FUNC && this.names.immediates.has(i)
        return isAddress ? '0x0' : undefined
      },
    })
    const kfunc = this.names.kfuncs.get(at)
    return kfunc === undefined ? text : text.replace(/#-?\d+$/, `#${kfunc.btfId}`)
  }

  touch(reg: number): void {
    this.regs |= 1 << reg
  }

  touchSlot(slot: number): void {
    if (slot < 32) this.low |= 1 << slot
    else this.high |= 1 << (slot & 31)
  }

  touchAll(): void {
    this.regs = this.low = this.high = -1
  }

  /** A function is entered from outside: source lines are shown again. */
  begin(): void {
    this.#lastLine = null
    this.broken = false
  }

  /** `; source @ file.c:12`, unless it was the last one shown. */
  source(insn: number, prefix: string = '; '): void {
    const line = lineAt(this.#lines, insn)
    if (line === null || line === this.#lastLine) return
    const last = this.#lastLine
    if (last !== null && last.fileOffset === line.fileOffset && last.line === line.line) return
    this.log.write(`${prefix}${lineText(line)}\n`)
    this.#lastLine = line
  }

  /** Before an instruction is executed. */
  instruction(state: State, insn: number, previous: number): void {
    const { log } = this
    if (log.all && this.broken) {
      log.write(`\n${from(state, insn, previous)}:${frameText(state, state.frames.length - 1, this.names)}\n`)
      this.broken = false
    }
    if (!log.paths) return
    if (this.regs !== 0 || this.low !== 0 || this.high !== 0) this.touched(state, insn)
    this.source(insn)
    const text = `${insn}: ${this.insnText(insn)}\n`
    log.write(text)
    this.#insnLength = text.length
    this.#insnEnd = log.end
  }

  /** What the instruction changed, on its own line when something was printed since. */
  touched(state: State, insn: number): void {
    const { log } = this
    if (!log.paths) return
    if (this.#insnEnd >= 0 && this.#insnEnd === log.end) {
      log.reset(this.#insnEnd - 1)
      const from = Math.max(this.#insnLength + COLUMN_STEP / 2, COLUMN)
      const column = Math.ceil(from / COLUMN_STEP) * COLUMN_STEP
      log.write(`${' '.repeat(column - this.#insnLength - 1)};`)
    } else log.write(`${insn}:`)
    log.write(`${frameText(state, state.frames.length - 1, this.names, this)}\n`)
    this.regs = this.low = this.high = 0
  }

  /** All of one frame, after a heading. */
  frame(heading: string, state: State, index: number): void {
    if (this.log.paths) this.log.write(`${heading}${frameText(state, index, this.names, EVERYTHING)}\n`)
  }

  /** The path ends at a state that is known to be safe. */
  safe(state: State, insn: number, previous: number): void {
    if (!this.log.paths) return
    this.log.write(this.broken ? `\n${from(state, insn, previous)}: safe\n` : `${insn}: safe\n`)
  }
}

/** Where a path goes on. */
function from(state: State, insn: number, previous: number): string {
  return `from ${previous} to ${insn}${state.speculative ? ' (speculative execution)' : ''}`
}
