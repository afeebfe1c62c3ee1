import { HelperId, helperName, ProgType } from '../../uapi/index.ts'
import {
  DEFERRED_ADDRESS,
  FRAME_SIZE,
  JIT_ADDRESS,
  REGS_ADDRESS,
  STACK_TOP_ADDRESS,
  TAIL_CALLS_ADDRESS,
  TAIL_PROGRAM_ADDRESS,
  type Machine,
  type MapLayout,
} from '../engine.ts'
import { LdImm64Pseudo } from '../../isa/index.ts'
import {
  BPF_FUNCTION,
  PART_FUNCTION,
  TAIL_FUNCTION,
  callEntry,
  functionType,
  pushFromArea,
  type ModuleIndices,
} from './context.ts'
import { BATCH_FUNCTION, batchBody, START_FUNCTION, startBody } from './entries.ts'
import { fuelCode, type FuelCode } from './fuel.ts'
import { translateFunction } from './function.ts'
import { FIND_FUNCTION, findBody } from './hash-code.ts'
import { translateParts } from './parts.ts'
import type { ProgramCode } from './program.ts'
import { splitFunction, type SplitLimits } from './split.ts'
import { NO_PLACE } from './trap.ts'
import {
  CodeSink,
  ModuleBuilder,
  Op,
  ValueType,
  w,
  type Code,
  type FunctionType,
  type MemoryLimits,
} from './wasm/index.ts'

const { I32, I64 } = ValueType

const signature = (params: readonly ValueType[], results: readonly ValueType[] = []): FunctionType => ({
  params,
  results,
})

/** Functions that a module imports from `env`, beside `memory`. All of them take i32 only. */
export interface JitImports {
  trap(place: number, low: number, high: number): never
  callKfunc(id: number): void
  callRegister(low: number, high: number): void
  tailCall(): number
  loadPacket(offset: number, size: number): number
  clock(): number
  /** Between runs, when something waits for that. */
  endGracePeriod(): void
  /** After a run of a batch whose packet was moved. */
  moved(): void
  tails?: WebAssembly.Table
  memory: WebAssembly.Memory
  /** One for each helper, by helperImport(). */
  [helper: string]: WebAssembly.ImportValue | undefined
}

/** What an instance exports. */
export interface JitExports {
  /** Runs the entry with r1 = ctx, its frame below `top`; no frame goes below `limit`. */
  run(ctx: number, top: number, limit: number): void
  /** A run from the outside: START_FUNCTION. */
  start(ctx: number, top: number, limit: number): number
  /** Runs on packets of a table: BATCH_FUNCTION. */
  batch(...batch: readonly number[]): void
  /** run() `times` times. */
  repeat(ctx: number, top: number, limit: number, times: number): void
  /** For tail calls from other programs: TAIL_FUNCTION. */
  readonly tail: unknown
  /** Runs function `index` with arguments and result in the register area, its frame below `top`. */
  call(index: number, top: number): void
}

/** Name of the import for a helper. */
export function helperImport(id: number): string {
  return `helper_${helperName(id) ?? id}`
}

const CLOCK_HELPERS = [HelperId.ktime_get_ns, HelperId.ktime_get_boot_ns, HelperId.ktime_get_tai_ns]

/** Translates a program to a wasm binary. */
export function buildModule(
  program: ProgramCode,
  machine: Machine,
  optimize: boolean,
  limits?: SplitLimits,
): Uint8Array<ArrayBuffer> {
  const builder = new ModuleBuilder()
  builder.importMemory('env', 'memory', machine.isShared === true ? SHARED_LIMITS : { minimum: 1 })
  const trap = builder.importFunction('env', 'trap', signature([I32, I32, I32]))
  const callKfunc = builder.importFunction('env', 'callKfunc', signature([I32]))
  const tailCall = builder.importFunction('env', 'tailCall', signature([], [I32]))
  const loadPacket = builder.importFunction('env', 'loadPacket', signature([I32, I32], [I32]))
  const moved = isXdp(program) ? builder.importFunction('env', 'moved', signature([])) : -1
  const helpers = new Map<number, number>()
  const usesClock = machine.clock && CLOCK_HELPERS.some((id) => program.helpers.has(id))
  const maps = usedMaps(program, machine)
  const sharesBudget = (program.code.instrumentation?.charges ?? null) !== null
  // Programs that share a budget hand it over when they enter and leave, which tail calls in WebAssembly do not.
  const usesTails =
    machine.tails && !sharesBudget && hasTailCallInstructions() && maps.some(({ kind }) => kind === 'progArray')
  const tailTable = usesTails ? builder.importTable('env', 'tails') : -1
  const clock = usesClock ? builder.importFunction('env', 'clock', signature([], [ValueType.F64])) : -1
  for (const id of program.helpers) {
    helpers.set(id, builder.importFunction('env', helperImport(id), signature([])))
  }
  const callRegister = program.hasRegisterCalls
    ? builder.importFunction('env', 'callRegister', signature([I32, I32]))
    : -1
  const endGracePeriod = builder.importFunction('env', 'endGracePeriod', signature([]))
  const run = builder.declareFunction(signature([I32, I32, I32]), 'run')
  const start = builder.declareFunction(START_FUNCTION, 'start')
  const batch = isXdp(program) ? builder.declareFunction(BATCH_FUNCTION, 'batch') : -1
  const repeat = builder.declareFunction(signature([I32, I32, I32, I32]), 'repeat')
  const call = builder.declareFunction(signature([I32, I32]), 'call')
  const tail = builder.declareFunction(TAIL_FUNCTION, 'tail')
  const indices = program.functions.map((f) => builder.declareFunction(functionType(program, f.index), f.name))
  const made = new Map<string, number>()
  const makeFunction = (name: string, type: FunctionType, body: () => CodeSink): number => {
    let index = made.get(name)
    if (index === undefined) {
      index = builder.declareFunction(type, name)
      made.set(name, index)
      builder.defineFunction(index, body())
    }
    return index
  }
  const globals = new Map<string, number>()
  const global: ModuleIndices['global'] = (name, type) => {
    let index = globals.get(name)
    if (index === undefined) globals.set(name, (index = builder.addGlobal(type)))
    return index
  }
  const places = [...indices]
  const table = builder.setTable(places)
  const fuelGlobal = builder.addGlobal(I64)
  const fuel = fuelCode({ fuelGlobal }, sharesBudget ? null : machine.fuel)
  const module: ModuleIndices = {
    trap,
    helper: (id) => helpers.get(id) as number,
    callKfunc,
    callRegister,
    tailCall,
    loadPacket,
    functions: indices[0] as number,
    entryParameters: functionType(program, 0).params.length,
    fuelGlobal,
    enterFuel: fuel.enter,
    limitGlobal: builder.addGlobal(I32),
    memorySize: machine.memory.buffer.byteLength,
    mapAt: (handle) => machine.mapAt?.(handle) ?? null,
    replaces: (id) => machine.replaces?.(id) ?? false,
    findFunction: (keySize) => makeFunction(`find_${keySize}`, FIND_FUNCTION, () => findBody(keySize)),
    function: makeFunction,
    global,
    declarePart: (name) => places.push(builder.declareFunction(PART_FUNCTION, name)) - 1,
    definePart: (place, body) => builder.defineFunction(places[place] as number, body),
    callPart: (code) => code.callIndirect(builder.type(PART_FUNCTION), table),
    clock,
    tails: usesTails ? { type: builder.type(TAIL_FUNCTION), table: tailTable } : null,
    hasInnerMaps: maps.some(({ inner }) => inner !== null),
    rings: maps.filter(({ kind }) => kind === 'ringbuf'),
    isShared: machine.isShared === true,
    hasRandom: machine.hasRandom === true,
    sharesBudget,
  }
  builder.exportFunction('tail', tail)
  builder.defineFunction(tail, tailBody(module, fuel))
  builder.exportFunction('run', run)
  builder.exportFunction('repeat', repeat)
  builder.exportFunction('call', call)
  // The word at GRACE_ADDRESS is read with it; only calls can set them.
  const isPending = w.isSet64(w.load64(w.i32(0), DEFERRED_ADDRESS))
  const makesCalls = program.helpers.size > 0 || program.functions.some(({ hasMachineCalls }) => hasMachineCalls)
  const betweenRuns = makesCalls ? w.when(isPending, w.call(endGracePeriod)) : w.all()
  builder.exportFunction('start', start)
  builder.defineFunction(start, startBody(module, fuel))
  if (batch !== -1) {
    builder.exportFunction('batch', batch)
    builder.defineFunction(batch, batchBody(module, moved, fuel, betweenRuns))
  }
  builder.defineFunction(run, runBody(module, fuel))
  builder.defineFunction(repeat, repeatBody(run, fuel, betweenRuns))
  builder.defineFunction(call, callBody(module, builder.type(BPF_FUNCTION), table))
  program.functions.forEach((f, i) => {
    const split = splitFunction(f.cfg, limits)
    const body =
      split === null
        ? translateFunction(program, f, module, optimize)
        : translateParts(program, f, split, module, optimize)
    builder.defineFunction(indices[i] as number, body)
  })
  return builder.encode()
}

/** The most that 32-bit addresses reach, which any memory may be. */
const SHARED_LIMITS: MemoryLimits = { minimum: 1, sharedMaximum: 65_536 }

function isXdp(program: ProgramCode): boolean {
  return program.code.type === ProgType.XDP
}

/** The maps whose handles the program has as constants. */
function usedMaps(program: ProgramCode, machine: Machine): MapLayout[] {
  const handles = new Set<number>()
  for (const op of program.operations) {
    if (op?.kind === 'loadImm64' && op.pseudo === LdImm64Pseudo.NONE && op.high === 0) handles.add(op.low >>> 0)
  }
  return Array.from(handles, (handle) => machine.mapAt?.(handle) ?? null).filter((map) => map !== null)
}

let tailCallInstructions: boolean | null = null

/** Whether the host knows the tail call instructions (Node does; Safari before 18.2 does not). */
function hasTailCallInstructions(): boolean {
  if (tailCallInstructions === null) {
    const builder = new ModuleBuilder()
    const index = builder.declareFunction(signature([]), 'probe')
    const table = builder.setTable([index])
    const code = new CodeSink(0)
    code.i32(0)
    code.returnCallIndirect(builder.type(signature([])), table)
    builder.defineFunction(index, code)
    tailCallInstructions = WebAssembly.validate(builder.encode())
  }
  return tailCallInstructions
}

function runBody(module: ModuleIndices, fuel: FuelCode): CodeSink {
  const [ctx, top, limit] = [0, 1, 2]
  const code = new CodeSink(3)
  const savedFuel = code.addLocal(I64)
  const savedLimit = code.addLocal(I32)
  checkFrame(module, code, top, () => code.get(limit))
  // A tail call may come back to this instance.
  code.getGlobal(module.fuelGlobal)
  code.set(savedFuel)
  code.getGlobal(module.limitGlobal)
  code.set(savedLimit)
  fuel.enter(code)
  code.get(limit)
  code.setGlobal(module.limitGlobal)
  code.i32(0)
  pushFrame(code, top)
  code.get(ctx)
  code.op(Op.i64_extend_i32_u)
  callEntry(code, module)
  code.memory(Op.i64_store, REGS_ADDRESS)
  fuel.leave(code)
  code.get(savedFuel)
  code.setGlobal(module.fuelGlobal)
  code.get(savedLimit)
  code.setGlobal(module.limitGlobal)
  restoreTop(code, top)
  return code
}

/** Takes over from another program, whose run() restores what is set here when that is this program too. */
function tailBody(module: ModuleIndices, fuel: FuelCode): CodeSink {
  const [base, limit, ctx] = [0, 1, 2]
  const code = new CodeSink(3)
  fuel.enter(code)
  code.get(limit)
  code.setGlobal(module.limitGlobal)
  code.get(base)
  code.get(ctx)
  callEntry(code, module, hasTailCallInstructions())
  return code
}

/** A loop that calls: a function that loops by itself would stay in V8's baseline code until it returns. */
function repeatBody(run: number, fuel: FuelCode, betweenRuns: Code): CodeSink {
  const times = 3
  const code = new CodeSink(4)
  code.loop()
  for (const word of [TAIL_CALLS_ADDRESS, TAIL_PROGRAM_ADDRESS]) w.store(w.i32(0), w.i32(0), word)(code)
  fuel.begin(code)
  for (const parameter of [0, 1, 2]) code.get(parameter)
  code.call(run)
  betweenRuns(code)
  code.get(times)
  code.i32(1)
  code.op(Op.i32_sub)
  code.tee(times)
  code.brIf(0)
  code.end()
  return code
}

function callBody(module: ModuleIndices, type: number, table: number): CodeSink {
  const [index, top] = [0, 1]
  const code = new CodeSink(2)
  const site = code.addLocal(I32)
  code.i32(0)
  code.memory(Op.i32_load, JIT_ADDRESS)
  code.set(site)
  checkFrame(module, code, top, () => code.getGlobal(module.limitGlobal))
  code.i32(0)
  pushFrame(code, top)
  for (let r = 1; r <= 5; r++) pushFromArea(code, r)
  code.get(index)
  code.callIndirect(type, table)
  code.memory(Op.i64_store, REGS_ADDRESS)
  code.i32(0)
  code.get(site)
  code.memory(Op.i32_store, JIT_ADDRESS)
  restoreTop(code, top)
  return code
}

/** Traps, at no instruction in particular, when there is no room for a frame below `top`. */
function checkFrame(module: ModuleIndices, code: CodeSink, top: number, pushLimit: () => void): void {
  pushFrame(code, top)
  pushLimit()
  code.op(Op.i32_lt_u)
  code.if()
  code.i32(NO_PLACE)
  code.i32(0)
  code.i32(0)
  code.call(module.trap)
  code.end()
}

function pushFrame(code: CodeSink, top: number): void {
  code.get(top)
  code.i32(FRAME_SIZE)
  code.op(Op.i32_sub)
}

function restoreTop(code: CodeSink, top: number): void {
  code.i32(0)
  code.get(top)
  code.memory(Op.i32_store, STACK_TOP_ADDRESS)
}
