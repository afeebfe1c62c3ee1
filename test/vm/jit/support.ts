import { encode, InsnBuffer, type Operation } from '../../../src/isa/index.ts'
import { jit } from '../../../src/vm/jit/index.ts'
import {
  GUARD_SIZE,
  REGS_ADDRESS,
  STACK_TOP_ADDRESS,
  type CompiledCode,
  type Machine,
  type VmCode,
} from '../../../src/vm/engine.ts'

/** Memory that test programs may use freely. */
export const DATA = 0x20000
export const STACK_TOP: number = GUARD_SIZE + 0x8000
const PAGES = 4
export const MEMORY_END: number = PAGES * 65536

/** The least machine that engines run on; helpers are functions of r1 to r5. */
export class TestMachine implements Machine {
  readonly memory: WebAssembly.Memory = new WebAssembly.Memory({ initial: PAGES, maximum: 64 })
  readonly helpers: Map<number, (...args: bigint[]) => bigint> = new Map()
  readonly kfuncs: Map<number, (...args: bigint[]) => bigint> = new Map()
  fuel: number
  packet: Uint8Array = new Uint8Array()
  /** What a tail call runs, by index. */
  readonly targets: Map<number, CompiledCode> = new Map()

  constructor(fuel: number = 1e9) {
    this.fuel = fuel
    this.view.setUint32(STACK_TOP_ADDRESS, STACK_TOP, true)
  }

  get view(): DataView {
    return new DataView(this.memory.buffer)
  }

  reg(r: number): bigint {
    return this.view.getBigUint64(REGS_ADDRESS + 8 * r, true)
  }

  setReg(r: number, value: bigint): void {
    this.view.setBigUint64(REGS_ADDRESS + 8 * r, value, true)
  }

  hasHelper(id: number): boolean {
    return this.helpers.has(id)
  }

  callHelper(id: number): void {
    this.#call(this.helpers.get(id))
  }

  callKfunc(id: number): void {
    this.#call(this.kfuncs.get(id))
  }

  tailCall(): boolean {
    const target = this.targets.get(Number(this.reg(3) & 0xffffffffn))
    if (target === undefined) return false
    target.run(Number(this.reg(1)))
    return true
  }

  loadPacket(offset: number, size: number): boolean {
    if (offset < 0 || offset + size > this.packet.length) return false
    let value = 0n
    for (let i = 0; i < size; i++) value = (value << 8n) | BigInt(this.packet[offset + i] as number)
    this.setReg(0, value)
    return true
  }

  stackTop(): number {
    return this.view.getUint32(STACK_TOP_ADDRESS, true)
  }

  stackLimit(): number {
    return GUARD_SIZE
  }

  #call(f: ((...args: bigint[]) => bigint) | undefined): void {
    if (f === undefined) throw new Error('no such function')
    this.setReg(0, BigInt.asUintN(64, f(...[1, 2, 3, 4, 5].map((r) => this.reg(r)))))
  }
}

/** Slots of the operations one after another; functions start at the given slots. */
export function assemble(ops: readonly Operation[], options: Partial<VmCode> & { starts?: number[] } = {}): VmCode {
  const length = ops.reduce((n, op) => n + (op.kind === 'loadImm64' ? 2 : 1), 0)
  const insns = new InsnBuffer(length)
  let at = 0
  for (const op of ops) at += encode(op, insns, at)
  const starts = options.starts ?? [0]
  return {
    name: 'test',
    type: 1,
    insns,
    functions: starts.map((start, i) => ({ name: `f${i}`, start, btfId: 0 })),
    lines: [],
    faultReadsZero: false,
    ...options,
  }
}

/** Compiles and runs operations; gives r0. */
export function runOps(
  ops: readonly Operation[],
  options: Partial<VmCode> & { starts?: number[]; machine?: TestMachine; ctx?: number } = {},
): bigint {
  const machine = options.machine ?? new TestMachine()
  jit.compile(assemble(ops, options), machine).run(options.ctx ?? 0)
  return machine.reg(0)
}

type AluFields = Extract<Operation, { kind: 'alu' }>
type Reg = number

export const exit: Operation = { kind: 'exit' }

/** dst = 64-bit number. */
export function imm64(dst: Reg, value: bigint): Operation {
  const bits = BigInt.asUintN(64, value)
  return { kind: 'loadImm64', dst, pseudo: 0, low: Number(bits & 0xffffffffn) | 0, high: Number(bits >> 32n) | 0 }
}

/** Arithmetic with a register (number) or a constant ({ imm }). */
export function alu(op: AluFields['op'], dst: Reg, source: Reg | { imm: number }, wide: boolean = true): Operation {
  return typeof source === 'number'
    ? { kind: 'alu', op, wide, dst, src: source, imm: 0 }
    : { kind: 'alu', op, wide, dst, src: null, imm: source.imm }
}

export const mov = (dst: Reg, imm: number): Operation => alu('mov', dst, { imm })
export const load = (size: 1 | 2 | 4 | 8, dst: Reg, src: Reg, off: number, signed: boolean = false): Operation => ({
  kind: 'load',
  size,
  signed,
  dst,
  src,
  off,
})
export const store = (size: 1 | 2 | 4 | 8, dst: Reg, off: number, src: Reg): Operation => ({
  kind: 'store',
  size,
  dst,
  off,
  src,
  imm: 0,
})
export const jump = (target: number): Operation => ({ kind: 'jump', target })

type BranchFields = Extract<Operation, { kind: 'branch' }>
export function branch(
  op: BranchFields['op'],
  dst: Reg,
  source: Reg | { imm: number },
  target: number,
  wide: boolean = true,
): Operation {
  return typeof source === 'number'
    ? { kind: 'branch', op, wide, dst, src: source, imm: 0, target }
    : { kind: 'branch', op, wide, dst, src: null, imm: source.imm, target }
}

export const callHelper = (id: number): Operation => ({ kind: 'call', call: 'helper', imm: id, off: 0 })
export const callLocal = (at: number, target: number): Operation => ({
  kind: 'call',
  call: 'local',
  imm: target - at - 1,
  off: 0,
  target,
})
