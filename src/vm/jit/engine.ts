import { BpfError } from '../../bytes/index.ts'
import { HelperId, helperName } from '../../uapi/index.ts'
import {
  FRAME_SIZE,
  MAX_FRAMES,
  STACK_TOP_ADDRESS,
  type CompiledCode,
  type Engine,
  type Machine,
  type VmCode,
} from '../engine.ts'
import { Trap, trapError } from '../trap.ts'
import { buildModule, type JitExports, type JitImports } from './module.ts'
import { analyse, type ProgramCode } from './program.ts'
import { makeTrap, placeSlot } from './trap.ts'

/** Translates programs to WebAssembly, one module each. */
export const jit: Engine = {
  name: 'jit',
  compile(code: VmCode, machine: Machine): CompiledCode {
    if (typeof WebAssembly === 'undefined') {
      throw new BpfError('unsupported', 'the JIT needs WebAssembly, which this host does not have')
    }
    const program = analyse(code)
    checkHelpers(program, machine)
    const bytes = buildModule(program, machine.fuel)
    let module: WebAssembly.Module
    try {
      module = new WebAssembly.Module(bytes)
    } catch (cause) {
      throw new BpfError('unsupported', `the host does not compile the program's WebAssembly (${String(cause)})`, {
        where: { program: code.name },
        cause,
      })
    }
    return new JitCode(program, machine, module)
  },
}

/** The wasm binary of a program, for tests and tools. */
export function translate(code: VmCode, machine: Machine): Uint8Array<ArrayBuffer> {
  return buildModule(analyse(code), machine.fuel)
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

/** No instruction is known to be running. */
const NOWHERE = -1

class JitCode implements CompiledCode {
  readonly #program: ProgramCode
  readonly #machine: Machine
  readonly #exports: JitExports
  #words: Uint32Array
  /** Instruction of the call to the machine that is under way. */
  #at: number = NOWHERE

  constructor(program: ProgramCode, machine: Machine, module: WebAssembly.Module) {
    this.#program = program
    this.#machine = machine
    this.#words = new Uint32Array(machine.memory.buffer)
    const env: JitImports = {
      memory: machine.memory,
      trap: (place, low, high) => {
        const at = placeSlot(place)
        this.#at = at ?? NOWHERE
        throw makeTrap(place, at === null ? null : (program.operations[at] ?? null), low, high, machine.fuel)
      },
      callHelper: (id, at) => {
        this.#at = at
        machine.callHelper(id)
      },
      callKfunc: (id, at) => {
        this.#at = at
        machine.callKfunc(id)
      },
      tailCall: (at) => {
        this.#at = at
        return machine.tailCall() ? 1 : 0
      },
      loadPacket: (offset, size, at) => {
        this.#at = at
        return machine.loadPacket(offset, size) ? 1 : 0
      },
    }
    this.#exports = new WebAssembly.Instance(module, { env }).exports as unknown as JitExports
  }

  run(ctx: number): void {
    const top = this.#stackTop()
    const limit = Math.max(this.#machine.stackLimit(), top - MAX_FRAMES * FRAME_SIZE)
    const at = this.#at
    try {
      this.#exports.run(ctx, top, limit)
    } catch (cause) {
      throw this.#stopped(cause, top)
    }
    this.#at = at
  }

  call(index: number): void {
    const top = this.#stackTop()
    const at = this.#at
    if (!(index >= 0 && index < this.#program.functions.length)) {
      throw new Trap('call', `callback ${index} is none of the program's ${this.#program.functions.length} functions`)
    }
    try {
      this.#exports.call(index, top)
    } catch (cause) {
      throw this.#stopped(cause, top)
    }
    this.#at = at
  }

  /** Top of the free stack; the view goes stale, with length 0, when the memory grows. */
  #stackTop(): number {
    if (this.#words.length === 0) this.#words = new Uint32Array(this.#machine.memory.buffer)
    return this.#words[STACK_TOP_ADDRESS / 4] as number
  }

  #stopped(cause: unknown, top: number): unknown {
    this.#stackTop()
    this.#words[STACK_TOP_ADDRESS / 4] = top
    const at = this.#at
    this.#at = NOWHERE
    const fault = cause instanceof WebAssembly.RuntimeError ? new Trap('memory', cause.message) : cause
    return trapError(this.#program.code, at === NOWHERE ? null : at, fault)
  }
}
