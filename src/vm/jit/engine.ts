import { BpfError } from '../../bytes/index.ts'
import { HelperId, helperName, ProgType } from '../../uapi/index.ts'
import {
  budgetOf,
  FRAME_SIZE,
  JIT_ADDRESS,
  MAX_FRAMES,
  NO_TAIL_ENTRY,
  STACK_SLACK,
  STACK_TOP_ADDRESS,
  TAIL_PROGRAM_ADDRESS,
  type CompiledCode,
  type Engine,
  type Machine,
  type VmCode,
  type XdpBatch,
} from '../engine.ts'
import { callHelperAt } from '../callx.ts'
import { DAMAGED, Trap, trapError } from '../trap.ts'
import { buildModule, helperImport, type JitExports, type JitImports } from './module.ts'
import { analyse, type ProgramCode } from './program.ts'
import type { SplitLimits } from './split.ts'
import { makeTrap, placeSlot } from './trap.ts'

/** Largest function body that V8, SpiderMonkey and JavaScriptCore compile, in bytes. */
const MAX_FUNCTION_BYTES = 7_654_321

/** Whether this host compiles WebAssembly: a content security policy may forbid it, and some modes of Node have none. */
export function hostCompiles(): boolean {
  try {
    const emptyModule = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)
    return new WebAssembly.Module(emptyModule) instanceof WebAssembly.Module
  } catch {
    return false
  }
}

/** Translates programs to WebAssembly, one module each. */
export const jit: Engine = jitWith({ optimize: true })

/** The same without optimisations: in half of the time, to code that takes longer. */
export const quickJit: Engine = jitWith({ optimize: false })

/** An engine that translates in another way; `limits` are those of the JIT when absent. */
export function jitWith({ optimize, limits }: { optimize: boolean; limits?: SplitLimits }): Engine {
  return { name: 'jit', compile: (code, machine) => compile(code, machine, optimize, limits) }
}

function compile(code: VmCode, machine: Machine, optimize: boolean, limits?: SplitLimits): CompiledCode {
  if (typeof WebAssembly === 'undefined') {
    throw new BpfError('unsupported', 'the JIT needs WebAssembly, which this host does not have')
  }
  const program = analyse(code)
  checkHelpers(program, machine)
  const bytes = buildModule(program, machine, optimize, limits)
  let module: WebAssembly.Module
  try {
    module = new WebAssembly.Module(bytes)
  } catch (cause) {
    const problem = bytes.length > MAX_FUNCTION_BYTES ? 'limit' : 'unsupported'
    throw new BpfError(problem, `the host does not compile the program's WebAssembly (${String(cause)})`, {
      where: { program: code.name },
      cause,
    })
  }
  return new JitCode(program, machine, module)
}

/** The wasm binary of a program, for tests and tools. */
export function translate(code: VmCode, machine: Machine): Uint8Array<ArrayBuffer> {
  return buildModule(analyse(code), machine, true)
}

function checkHelpers(program: ProgramCode, machine: Machine): void {
  program.operations.forEach((op, at) => {
    if (op?.kind !== 'call' || program.code.facts?.reached[at] === 0) return
    if (op.call === 'helper' && op.imm !== HelperId.tail_call && !machine.hasHelper(op.imm)) {
      throw new BpfError(
        'unsupported',
        machine.whyNoHelper?.(op.imm) ?? `there is no helper bpf_${helperName(op.imm) ?? op.imm}`,
        {
          where: { program: program.code.name, insn: at },
        },
      )
    }
  })
}

/** Programs that tail calls lead to, by their place in the machine's table. */
const targets = new WeakMap<Machine, Map<number, ProgramCode>>()

function targetsOf(machine: Machine): Map<number, ProgramCode> {
  let known = targets.get(machine)
  if (known === undefined) targets.set(machine, (known = new Map<number, ProgramCode>()))
  return known
}

class JitCode implements CompiledCode {
  readonly #program: ProgramCode
  readonly #machine: Machine
  readonly #exports: JitExports
  readonly batch?: (batch: XdpBatch) => void
  #words: Uint32Array
  /** Place in the table of tail calls, 0 for none, and how often it is in use. */
  #tail = 0
  #tailUses = 0

  constructor(program: ProgramCode, machine: Machine, module: WebAssembly.Module) {
    this.#program = program
    this.#machine = machine
    this.#words = new Uint32Array(machine.memory.buffer)
    const env: JitImports = {
      memory: machine.memory,
      trap: (place, low, high) => {
        const at = placeSlot(place)
        const op = at === null ? null : (program.operations[at] ?? null)
        const budget = program.code.instrumentation?.charges ? budgetOf(machine) : null
        throw trapError(program.code, at, makeTrap(place, op, low, high, machine.fuel, budget))
      },
      clock: machine.clock ?? Date.now,
      endGracePeriod: () => machine.endGracePeriod?.(),
      moved: () => machine.packetMoved?.(),
      callKfunc: (id) => machine.callKfunc(id),
      callRegister: (low, high) => callHelperAt(machine, low, high),
      tailCall: () => (machine.tailCall() ? 1 : 0),
      loadPacket: (offset, size) => (machine.loadPacket(offset, size) ? 1 : 0),
    }
    if (machine.tails) env.tails = machine.tails.table
    for (const id of program.helpers) {
      env[helperImport(id)] = machine.helper?.(id) ?? ((): void => machine.callHelper(id))
    }
    this.#exports = new WebAssembly.Instance(module, { env: { ...env } as WebAssembly.ModuleImports })
      .exports as unknown as JitExports
    if (program.code.type === ProgType.XDP) this.batch = (batch) => this.#batch(batch)
  }

  run(ctx: number): void {
    const top = this.#word(STACK_TOP_ADDRESS)
    const tail = this.#word(TAIL_PROGRAM_ADDRESS)
    if (tail !== 0) this.#words[TAIL_PROGRAM_ADDRESS / 4] = 0
    try {
      this.#exports.run(ctx, top, this.#limit(top))
    } catch (cause) {
      throw this.#stopped(cause, top)
    }
    // What a program that was entered by a tail call goes on with.
    if (tail !== 0) this.#setWord(TAIL_PROGRAM_ADDRESS, tail)
  }

  start(ctx: number, top: number, limit: number): number {
    try {
      return this.#exports.start(ctx, top, limit) >>> 0
    } catch (cause) {
      throw this.#stopped(cause, top)
    }
  }

  repeat(ctx: number, times: number): void {
    const top = this.#word(STACK_TOP_ADDRESS)
    try {
      this.#exports.repeat(ctx, top, this.#limit(top), times)
    } catch (cause) {
      throw this.#stopped(cause, top)
    }
  }

  retainTail(place?: number): number {
    const { tails } = this.#machine
    // Helpers would call a callback of the program that began the run; a budget is handed over by run().
    if (!tails || this.#program.hasCallbacks || this.#program.code.instrumentation?.charges) return NO_TAIL_ENTRY
    if (this.#tailUses++ === 0) {
      this.#tail = tails.add(this.#exports.tail, place)
      targetsOf(this.#machine).set(this.#tail, this.#program)
    }
    return this.#tail
  }

  releaseTail(): void {
    if (this.#tailUses === 0 || --this.#tailUses > 0) return
    this.#machine.tails?.remove(this.#tail)
    targetsOf(this.#machine).delete(this.#tail)
  }

  call(index: number): void {
    const top = this.#word(STACK_TOP_ADDRESS)
    if (!(index >= 0 && index < this.#program.functions.length)) {
      throw new Trap('call', `callback ${index} is none of the program's ${this.#program.functions.length} functions`)
    }
    try {
      this.#exports.call(index, top)
    } catch (cause) {
      throw this.#stopped(cause, top)
    }
  }

  #batch({ ctx, top, limit, table, tableEnd, first, times, out }: XdpBatch): void {
    try {
      this.#exports.batch(ctx, top, limit, table, tableEnd, first, times, out)
    } catch (cause) {
      throw this.#stopped(cause, top)
    }
  }

  #limit(top: number): number {
    return Math.max(this.#machine.stackLimit(), top - MAX_FRAMES * FRAME_SIZE - STACK_SLACK)
  }

  /** A word of the guard; the view goes stale, with length 0, when the memory grows. */
  #word(address: number): number {
    if (this.#words.length === 0) this.#words = new Uint32Array(this.#machine.memory.buffer)
    return this.#words[address / 4] as number
  }

  #setWord(address: number, value: number): void {
    this.#word(address)
    this.#words[address / 4] = value
  }

  #stopped(cause: unknown, top: number): unknown {
    const site = this.#word(JIT_ADDRESS)
    const tail = this.#word(TAIL_PROGRAM_ADDRESS)
    this.#words[STACK_TOP_ADDRESS / 4] = top
    const { code } = (tail === 0 ? undefined : targetsOf(this.#machine).get(tail)) ?? this.#program
    // Nothing that the translator writes traps by itself, but a program may have overwritten a map's descriptor.
    if (cause instanceof WebAssembly.RuntimeError) {
      const message = cause.message === 'unreachable' ? DAMAGED : cause.message
      return trapError(code, null, new Trap('memory', message))
    }
    return trapError(code, site, cause)
  }
}
