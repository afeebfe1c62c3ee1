import { STACK_TOP_ADDRESS, TAIL_CALLS_ADDRESS, type Machine, type MapLayout, type TailTable } from '../engine.ts'
import { Trap } from '../trap.ts'
import { whyNoHelper } from './helpers/unsupported.ts'
import { MAX_TAIL_CALLS, PROGRAM_STACK_SIZE, STACK_START } from './layout.ts'
import { layoutOf } from './maps/layout.ts'
import { ProgArrayMap } from './maps/prog-array.ts'
import type { Runtime } from './runtime.ts'

/**
 * Helper numbers that stand for what was not found at load: a CO-RE relocation, a map, a kernel function (the numbers
 * are libbpf's). The kernel takes them where no path leads to; here they stop the program that gets there.
 */
const POISONED_CORE = 195_896_080
const POISONED_REFERENCES = 2_001_000_000
const POISONED = 'the program reached an instruction whose relocation found nothing'

function isPoison(id: number): boolean {
  return id === POISONED_CORE || id >= POISONED_REFERENCES
}

/** Maps that programs of several threads use by themselves. */
const UNLOCKED: ReadonlySet<MapLayout['kind']> = new Set<MapLayout['kind']>(['array', 'progArray'])

/** The machine that engines run on: a thin face of the runtime. */
export class VmMachine implements Machine {
  readonly #runtime: Runtime

  readonly tails: TailTable | null

  constructor(runtime: Runtime) {
    this.#runtime = runtime
    this.tails = typeof WebAssembly === 'undefined' ? null : new FunctionTable()
  }

  get memory(): WebAssembly.Memory {
    return this.#runtime.memory.wasm
  }

  get clock(): (() => number) | null {
    return this.#runtime.options.clockNumber ?? null
  }

  get hasRandom(): boolean {
    return this.#runtime.options.random === null
  }

  endGracePeriod(): void {
    this.#runtime.endGracePeriod()
  }

  get isShared(): boolean {
    return this.#runtime.memory.isShared
  }

  get fuel(): number {
    return this.#runtime.options.fuel
  }

  hasHelper(id: number): boolean {
    return this.#runtime.functions.helper(id) !== undefined || isPoison(id)
  }

  whyNoHelper(id: number): string {
    return whyNoHelper(id)
  }

  replaces(id: number): boolean {
    return this.#runtime.functions.replaces(id)
  }

  callHelper(id: number): void {
    const helper = this.#runtime.functions.helper(id)
    if (helper === undefined) {
      throw new Trap('call', isPoison(id) ? POISONED : whyNoHelper(id))
    }
    const rt = this.#runtime
    rt.setResult(helper(rt, rt.low(1), rt.low(2), rt.low(3), rt.low(4), rt.low(5)))
  }

  helper(id: number): () => void {
    const helper = this.#runtime.functions.helper(id)
    if (helper === undefined) return () => this.callHelper(id)
    const rt = this.#runtime
    return () => rt.setResult(helper(rt, rt.low(1), rt.low(2), rt.low(3), rt.low(4), rt.low(5)))
  }

  mapAt(handle: number): MapLayout | null {
    const map = this.#runtime.mapAt(handle)
    if (map === undefined) return null
    const layout = layoutOf(map, (address) => this.#runtime.memory.u32(address))
    // Where several threads use a map that changes, its operations take a lock.
    if (this.isShared && (layout?.inner !== null || !UNLOCKED.has(layout.kind))) return null
    return layout
  }

  /** Calls of kernel functions have numbers of this vm in place of BTF ids, see link.ts; 0 is a missing one. */
  callKfunc(number: number): void {
    const kfunc = this.#runtime.functions.kfunc(number)
    if (kfunc === undefined) throw new Trap('call', 'call of a weak kernel function that the vm does not have')
    const rt = this.#runtime
    rt.setResult(kfunc(rt, rt.low(1), rt.low(2), rt.low(3), rt.low(4), rt.low(5)))
  }

  tailCall(): boolean {
    const rt = this.#runtime
    const run = rt.run
    const map = rt.map(2)
    const calls = rt.memory.u32(TAIL_CALLS_ADDRESS)
    if (run === null || !(map instanceof ProgArrayMap)) throw new Trap('call', 'r2 of the tail call is no prog array')
    const index = rt.low(3)
    if (index >= map.maxEntries || calls >= MAX_TAIL_CALLS) return false
    const program = map.program(index)
    // An empty slot does not count.
    if (program === undefined) return false
    rt.memory.setU32(TAIL_CALLS_ADDRESS, calls + 1)
    const limit = run.stackLimit
    run.stackLimit = Math.max(STACK_START, this.stackTop() - PROGRAM_STACK_SIZE)
    try {
      program.enter(rt.low(1))
    } finally {
      run.stackLimit = limit
    }
    return true
  }

  loadPacket(offset: number, size: number): boolean {
    const rt = this.#runtime
    const value = rt.run?.context.loadPacket(offset, size) ?? null
    if (value === null) return false
    rt.setResult(value >= 0x80000000 ? BigInt(value) : value)
    return true
  }

  packetMoved(): void {
    this.#runtime.packetMoved()
  }

  stackTop(): number {
    return this.#runtime.memory.u32(STACK_TOP_ADDRESS)
  }

  stackLimit(): number {
    return this.#runtime.run?.stackLimit ?? STACK_START
  }
}

/** A table of functions that grows, whose places are used again. */
class FunctionTable implements TailTable {
  readonly table: WebAssembly.Table = new WebAssembly.Table({ element: 'anyfunc', initial: 1 })
  readonly #free: number[] = []

  add(entry: unknown, place?: number): number {
    if (place !== undefined && place >= this.table.length) this.table.grow(place + 1 - this.table.length)
    const index = place ?? this.#free.pop() ?? this.table.grow(1)
    this.table.set(index, entry)
    return index
  }

  remove(index: number): void {
    this.table.set(index, null)
    this.#free.push(index)
  }
}
