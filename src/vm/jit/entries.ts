import {
  BATCH_LEFT_ADDRESS,
  BATCH_MOVED_ADDRESS,
  FRAME_SIZE,
  STACK_TOP_ADDRESS,
  TAIL_CALLS_ADDRESS,
  TAIL_PROGRAM_ADDRESS,
} from '../engine.ts'
import { callEntry, type ModuleIndices } from './context.ts'
import type { FuelCode } from './fuel.ts'
import { CodeSink, Op, ValueType, w, type Code, type FunctionType } from './wasm/index.ts'

const { I32 } = ValueType
const { add, get, i32, load, ne, set, store, sub, when } = w

/** ctx, top, limit; result: the low half of r0. */
export const START_FUNCTION: FunctionType = { params: [I32, I32, I32], results: [I32] }
/** ctx, top, limit, table, end of the table, first entry, number of runs, return values; see XdpBatch. */
export const BATCH_FUNCTION: FunctionType = { params: Array<ValueType>(8).fill(I32), results: [] }

/** Offsets of pointers in struct xdp_md (include/uapi/linux/bpf.h). */
const DATA = 0
const DATA_END = 4
const DATA_META = 8
const ENTRY_SIZE = 8

const noTailCalls: Code = w.all(store(i32(0), i32(0), TAIL_CALLS_ADDRESS), store(i32(0), i32(0), TAIL_PROGRAM_ADDRESS))

/** A run that no other is around, so that there is nothing to put back. */
export function startBody(module: ModuleIndices, fuel: FuelCode): CodeSink {
  const [ctx, top, limit] = [0, 1, 2]
  const code = new CodeSink(3)
  w.all(store(i32(0), get(top), STACK_TOP_ADDRESS), noTailCalls, fuel.begin, fuel.enter)(code)
  code.get(limit)
  code.setGlobal(module.limitGlobal)
  callWith(module, code, ctx, top)
  code.op(Op.i32_wrap_i64)
  fuel.leave(code)
  return code
}

/**
 * Runs on the packets of a table in turn. What is set up for each run is what a program could have changed. The loop
 * calls the entry: V8 does not optimise a loop that is running.
 */
export function batchBody(module: ModuleIndices, moved: number, fuel: FuelCode, betweenRuns: Code): CodeSink {
  const [ctx, top, limit, table, end, first, times, results] = [0, 1, 2, 3, 4, 5, 6, 7]
  const entry = first
  const code = new CodeSink(8)
  store(i32(0), get(top), STACK_TOP_ADDRESS)(code)
  code.get(limit)
  code.setGlobal(module.limitGlobal)
  code.loop()
  w.all(
    store(i32(0), get(times), BATCH_LEFT_ADDRESS),
    store(get(ctx), load(get(entry)), DATA),
    store(get(ctx), load(get(entry)), DATA_META),
    store(get(ctx), load(get(entry), 4), DATA_END),
    noTailCalls,
    fuel.begin,
    fuel.enter,
  )(code)
  code.get(results)
  callWith(module, code, ctx, top)
  code.op(Op.i32_wrap_i64)
  code.memory(Op.i32_store, 0)
  w.all(
    when(load(i32(0), BATCH_MOVED_ADDRESS), (c) => c.call(moved)),
    betweenRuns,
    set(results, add(get(results), i32(4))),
    set(entry, add(get(entry), i32(ENTRY_SIZE))),
    when(w.eq(get(entry), get(end)), set(entry, get(table))),
    set(times, sub(get(times), i32(1))),
    ne(get(times), i32(0)),
  )(code)
  code.brIf(0)
  code.end()
  return code
}

/** Leaves r0. */
function callWith(module: ModuleIndices, code: CodeSink, ctx: number, top: number): void {
  sub(get(top), i32(FRAME_SIZE))(code)
  w.extend(get(ctx))(code)
  callEntry(code, module)
}
