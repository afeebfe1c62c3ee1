import { ByteSink } from './bytes.ts'
import { Op } from './opcodes.ts'
import { EMPTY_BLOCK, type BlockType, type ValueType } from './types.ts'

/** Instructions of one function body, in the order they are written. */
export class CodeSink {
  readonly #sink: ByteSink
  readonly #locals: ValueType[] = []
  readonly #params: number

  /** @param params number of parameters, which are the first locals */
  constructor(params: number, capacity: number = 256) {
    this.#params = params
    this.#sink = new ByteSink(capacity)
  }

  /** Bytes of instructions so far. */
  get length(): number {
    return this.#sink.length
  }

  /** Declares a local, which starts as zero, and returns its index. */
  addLocal(type: ValueType): number {
    return this.#params + this.#locals.push(type) - 1
  }

  /** Declares `count` locals and returns the index of the first one. */
  addLocals(type: ValueType, count: number): number {
    const first = this.#params + this.#locals.length
    for (let i = 0; i < count; i++) this.#locals.push(type)
    return first
  }

  /** An instruction without immediate operands. */
  op(opcode: Op): void {
    this.#sink.byte(opcode)
  }

  i32(value: number): void {
    this.#sink.byte(Op.i32_const)
    this.#sink.signed32(value)
  }

  /** An i64 constant that is a signed 32-bit number. */
  i64(value: number): void {
    this.#sink.byte(Op.i64_const)
    this.#sink.signed32(value)
  }

  /** An i64 constant from its two 32-bit halves. */
  i64Halves(low: number, high: number): void {
    this.#sink.byte(Op.i64_const)
    this.#sink.signed64(low, high)
  }

  /** An i64 constant that is a safe integer. */
  i64Number(value: number): void {
    this.i64Halves(value | 0, Math.floor(value / 4294967296))
  }

  get(local: number): void {
    this.#indexed(Op.local_get, local)
  }

  set(local: number): void {
    this.#indexed(Op.local_set, local)
  }

  tee(local: number): void {
    this.#indexed(Op.local_tee, local)
  }

  getGlobal(index: number): void {
    this.#indexed(Op.global_get, index)
  }

  setGlobal(index: number): void {
    this.#indexed(Op.global_set, index)
  }

  call(functionIndex: number): void {
    this.#indexed(Op.call, functionIndex)
  }

  /** Calls the function of a table whose index is on the stack. */
  callIndirect(typeIndex: number, table: number): void {
    this.#indexed(Op.call_indirect, typeIndex)
    this.#sink.unsigned(table)
  }

  /** A load or store: `offset` (u32) is added to the address. Alignment hints are left at one byte. */
  memory(opcode: Op, offset: number): void {
    this.#sink.byte(opcode)
    this.#sink.byte(0)
    this.#sink.unsigned(offset)
  }

  /** An atomic access of the threads proposal: `offset` is added to the address, which is a multiple of `size`. */
  atomic(opcode: number, offset: number, size: number): void {
    this.#sink.byte(0xfe)
    this.#sink.byte(opcode)
    this.#sink.byte(Math.log2(size))
    this.#sink.unsigned(offset)
  }

  /** Copies bytes in the memory: to, from and size are on the stack. */
  memoryCopy(): void {
    for (const byte of [0xfc, 10, 0, 0]) this.#sink.byte(byte)
  }

  /** Sets bytes in the memory: address, value and size are on the stack. */
  memoryFill(): void {
    for (const byte of [0xfc, 11, 0]) this.#sink.byte(byte)
  }

  /** A tail call of a function. */
  returnCall(functionIndex: number): void {
    this.#indexed(Op.return_call, functionIndex)
  }

  /** A tail call of the function of a table whose index is on the stack. */
  returnCallIndirect(typeIndex: number, table: number): void {
    this.#indexed(Op.return_call_indirect, typeIndex)
    this.#sink.unsigned(table)
  }

  memorySize(): void {
    this.#sink.byte(Op.memory_size)
    this.#sink.byte(0)
  }

  block(type: BlockType = EMPTY_BLOCK): void {
    this.#sink.byte(Op.block)
    this.#sink.byte(type)
  }

  loop(): void {
    this.#sink.byte(Op.loop)
    this.#sink.byte(EMPTY_BLOCK)
  }

  if(type: BlockType = EMPTY_BLOCK): void {
    this.#sink.byte(Op.if)
    this.#sink.byte(type)
  }

  else(): void {
    this.#sink.byte(Op.else)
  }

  end(): void {
    this.#sink.byte(Op.end)
  }

  /** Branch to the label `depth` levels out. */
  br(depth: number): void {
    this.#indexed(Op.br, depth)
  }

  brIf(depth: number): void {
    this.#indexed(Op.br_if, depth)
  }

  /** Branch by the number on the stack; one that is too large takes the last of `depths`. */
  brTable(depths: readonly number[]): void {
    this.#indexed(Op.br_table, depths.length - 1)
    for (const depth of depths) this.#sink.unsigned(depth)
  }

  /** Writes the body (locals, instructions, final end) after its size; nothing can be added then. */
  encode(into: ByteSink): void {
    const head = new ByteSink()
    const runs: { type: ValueType; count: number }[] = []
    for (const type of this.#locals) {
      const last = runs.at(-1)
      if (last?.type === type) last.count++
      else runs.push({ type, count: 1 })
    }
    head.unsigned(runs.length)
    for (const run of runs) {
      head.unsigned(run.count)
      head.byte(run.type)
    }
    into.unsigned(head.length + this.#sink.length + 1)
    into.append(head)
    into.append(this.#sink)
    into.byte(Op.end)
  }

  #indexed(opcode: Op, index: number): void {
    this.#sink.byte(opcode)
    this.#sink.unsigned(index)
  }
}
