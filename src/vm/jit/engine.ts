import { BpfError } from '../../bytes/index.ts'
import { HelperId, helperName } from '../../uapi/index.ts'
import {
  FRAME_SIZE,
  JIT_ADDRESS,
  MAX_FRAMES,
  STACK_TOP_ADDRESS,
  type CompiledCode,
  type Engine,
  type Machine,
  type VmCode,
} from '../engine.ts'
import { Trap, trapError } from '../trap.ts'
import { buildModule, helperImport, type JitExports, type JitImports } from './module.ts'
import { analyse, type ProgramCode } from './program.ts'
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
export const jit: Engine = {
  name: 'jit',
  compile(code: VmCode, machine: Machine): CompiledCode {
    if (typeof WebAssembly === 'undefined') {
      throw new BpfError('unsupported', 'the JIT needs WebAssembly, which this host does not have')
    }
    const program = analyse(code)
    checkHelpers(program, machine)
    const bytes = buildModule(program, machine)
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
  },
}

/** The wasm binary of a program, for tests and tools. */
export function translate(code: VmCode, machine: Machine): Uint8Array<ArrayBuffer> {
  return buildModule(analyse(code), machine)
}

function checkHelpers(program: ProgramCode, machine: Machine): void {
  program.operations.forEach((op, at) => {
    if (op?.kind !== 'call') return
    if (op.call === 'helper' && op.imm !== HelperId.tail_call && !machine.hasHelper(op.imm)) {
      const name = helperName(op.imm)
      throw new BpfError('unsupported', `helper ${name === undefined ? op.imm : `bpf_${name}`} is not there`, {
        where: { program: program.code.name, insn: at },
      })
    }
  })
}

class JitCode implements CompiledCode {
  readonly #program: ProgramCode
  readonly #machine: Machine
  readonly #exports: JitExports
  #words: Uint32Array

  constructor(program: ProgramCode, machine: Machine, module: WebAssembly.Module) {
    this.#program = program
    this.#machine = machine
    this.#words = new Uint32Array(machine.memory.buffer)
    const env: JitImports = {
      memory: machine.memory,
      trap: (place, low, high) => {
        const at = placeSlot(place)
        const op = at === null ? null : (program.operations[at] ?? null)
        throw trapError(program.code, at, makeTrap(place, op, low, high, machine.fuel))
      },
      callKfunc: (id) => machine.callKfunc(id),
      tailCall: () => (machine.tailCall() ? 1 : 0),
      loadPacket: (offset, size) => (machine.loadPacket(offset, size) ? 1 : 0),
    }
    for (const id of program.helpers) {
      env[helperImport(id)] = machine.helper?.(id) ?? ((): void => machine.callHelper(id))
    }
    this.#exports = new WebAssembly.Instance(module, { env: { ...env } }).exports as unknown as JitExports
  }

  run(ctx: number): void {
    const top = this.#word(STACK_TOP_ADDRESS)
    try {
      this.#exports.run(ctx, top, this.#limit(top))
    } catch (cause) {
      throw this.#stopped(cause, top)
    }
  }

  repeat(ctx: number, times: number): boolean {
    if (this.#program.hasTailCalls) return false
    const top = this.#word(STACK_TOP_ADDRESS)
    try {
      this.#exports.repeat(ctx, top, this.#limit(top), times)
    } catch (cause) {
      throw this.#stopped(cause, top)
    }
    return true
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

  #limit(top: number): number {
    return Math.max(this.#machine.stackLimit(), top - MAX_FRAMES * FRAME_SIZE)
  }

  /** A word of the guard; the view goes stale, with length 0, when the memory grows. */
  #word(address: number): number {
    if (this.#words.length === 0) this.#words = new Uint32Array(this.#machine.memory.buffer)
    return this.#words[address / 4] as number
  }

  #stopped(cause: unknown, top: number): unknown {
    const site = this.#word(JIT_ADDRESS)
    this.#words[STACK_TOP_ADDRESS / 4] = top
    const { code } = this.#program
    // Nothing that the translator writes traps by itself, but a program may have overwritten a map's descriptor.
    if (cause instanceof WebAssembly.RuntimeError) return trapError(code, null, new Trap('memory', cause.message))
    return trapError(code, site, cause)
  }
}
