import type { HelperCall } from '../../isa/index.ts'
import { HelperId, UpdateFlag } from '../../uapi/index.ts'
import { GUARD_SIZE, type MapLayout } from '../engine.ts'
import { Descriptor, Element } from '../runtime/maps/descriptor.ts'
import { arrayUpdateBody, LOOKUP_FUNCTION, lookupBody } from './array-code.ts'
import { BLOOM_FUNCTION, bloomBody } from './bloom-code.ts'
import type { FunctionContext } from './context.ts'
import { lowOf, setResult, type FastPath } from './fast-path.ts'
import { cpu, DELETE_FUNCTION, deleteBody, UPDATE_FUNCTION, updateBody } from './hash-code.ts'
import { checkAccess, pushAddress } from './memory.ts'
import { peekBody, pushBody, QUEUE_FUNCTION } from './queue-code.ts'
import {
  COMMIT_FUNCTION,
  commitBody,
  OUTPUT_FUNCTION,
  outputBody,
  queryOf,
  RESERVE_FUNCTION,
  reserveBody,
} from './ring-code.ts'
import { isTrieKey, TRIE_LOOKUP_FUNCTION, trieDeleteBody, trieLookupBody, trieUpdateBody } from './trie-code.ts'
import { setPlace, trapIf } from './trap.ts'
import { Op, w, type Code } from './wasm/index.ts'

const { add, get, i32, load, mul } = w

/** Keys that are longer are looked up by the helper. */
const MAX_KEY_SIZE = 64
/** Values that are longer are copied by the helper. */
const MAX_VALUE_SIZE = 4096

/** Writes the call of a helper for maps, see emitInlineHelper(). False: nothing was written. */
export function emitMapHelper(ctx: FunctionContext, op: HelperCall, at: number, fast: FastPath): boolean {
  switch (op.imm) {
    case HelperId.map_lookup_elem:
      return emitLookup(ctx, at, fast)
    case HelperId.map_update_elem:
      return emitUpdate(ctx, fast)
    case HelperId.map_delete_elem:
      return emitDelete(ctx, fast)
    case HelperId.map_lookup_percpu_elem:
      return emitCpuLookup(ctx, fast)
    case HelperId.map_push_elem:
      return emitPush(ctx, fast)
    case HelperId.map_pop_elem:
      return emitPeek(ctx, fast, true)
    case HelperId.map_peek_elem:
      return emitPeek(ctx, fast, false)
    case HelperId.ringbuf_reserve:
      return emitReserve(ctx)
    case HelperId.ringbuf_submit:
    case HelperId.ringbuf_discard:
      return emitCommit(ctx, fast, op.imm === HelperId.ringbuf_discard)
    case HelperId.ringbuf_output:
      return emitOutput(ctx, fast)
    case HelperId.ringbuf_query:
      return emitQuery(ctx)
    default:
      return false
  }
}

/** What is known of the map in a register. */
interface Target {
  readonly map: MapLayout
  readonly handle: Code
  /** Whether the handle is a constant; if not, the map is one of a map of maps, or there is none (0). */
  readonly isKnown: boolean
}

function targetOf(ctx: FunctionContext, register: number): Target | null {
  const known = knownMap(ctx, register)
  if (known !== null) return { map: known, handle: i32(known.handle), isKnown: true }
  const value = ctx.values.get(register)
  const inner = value?.kind === 'lookup' ? (ctx.module.mapAt(value.map)?.inner ?? null) : null
  return inner === null ? null : { map: inner, handle: lowOf(ctx, register), isKnown: false }
}

function knownMap(ctx: FunctionContext, register: number): MapLayout | null {
  const handle = ctx.values.constantAddress(register)
  return handle === null ? null : ctx.module.mapAt(handle)
}

/** Conditions under which the helper must look what is in the register. */
const doubts = ({ isKnown, handle }: Target): Code[] => (isKnown ? [] : [w.not(handle)])

const isHash = (map: MapLayout): boolean => map.kind === 'hash' || map.kind === 'lru'

/** Whether a map of this kind is one of those whose elements are found by a key that is not too long. */
function hasInlineKeys(map: MapLayout): boolean {
  if (map.keySize > MAX_KEY_SIZE) return false
  return map.kind === 'trie' ? isTrieKey(map.keySize) : map.kind === 'array' || isHash(map)
}

/** What functions for maps like this one have in their names. */
function shape(map: MapLayout): string {
  const { kind, keySize, valueSize, cpuStride, preallocated, locks } = map
  const marks = [cpuStride !== 0 && 'percpu', !preallocated && 'alloc', ...locks.map(({ offset }) => `lock${offset}`)]
  return [kind, keySize, valueSize, ...marks.filter((mark) => mark !== false)].join('_')
}

/** bpf_map_lookup_elem: r0 is the address of the value for the key at r2, or 0. */
function emitLookup(ctx: FunctionContext, at: number, fast: FastPath): boolean {
  const target = targetOf(ctx, 1)
  const { module } = ctx
  if (target === null) {
    if (ctx.values.constantAddress(1) !== null || !module.hasInnerMaps) return false
    const find = module.findFunction(4)
    const lookup = module.function('lookup', LOOKUP_FUNCTION, () => lookupBody(find))
    return fast.emit(
      [],
      [1, 2].map((r) => fast.isLarge(r)),
      w.call(lookup, lowOf(ctx, 1), lowOf(ctx, 2)),
      'address',
    )
  }
  const { map } = target
  if (!hasInlineKeys(map)) return false
  let value = map.kind === 'array' ? arrayValue(ctx, target) : hashValue(ctx, target)
  if (map.kind === 'trie') value = trieValue(ctx, target)
  // Without a value, the handle is read at address 0, where there is always 0.
  if (map.inner !== null) value = load(value)
  checkAccess(ctx, 2, 0, map.keySize, at)
  if (!target.isKnown) {
    setPlace(ctx, at, 'operation')
    w.not(target.handle)(ctx.code)
    trapIf(ctx)
  }
  return setResult(ctx, w.extend(value))
}

/** bpf_map_lookup_percpu_elem: the value of the CPU that r3 names. */
function emitCpuLookup(ctx: FunctionContext, fast: FastPath): boolean {
  const map = knownMap(ctx, 1)
  if (map === null || map.cpuStride === 0 || !hasInlineKeys(map)) return false
  const chosen = lowOf(ctx, 3)
  const target = { map, handle: i32(map.handle), isKnown: true }
  const value = map.kind === 'array' ? arrayValue(ctx, target, chosen) : hashValue(ctx, target, chosen)
  return fast.emit([[2, map.keySize]], [w.atLeast(chosen, i32(map.valueCount))], value, 'number')
}

/** Address of the key of a checked access. */
function keyAddress(ctx: FunctionContext, size: number): Code {
  return (code) => {
    const offset = pushAddress(ctx, 2, 0, size)
    if (offset !== 0) add(w.all(), i32(offset))(code)
  }
}

function arrayValue(ctx: FunctionContext, { map, handle, isKnown }: Target, ofWhich: Code = cpu): Code {
  const { index } = ctx.locals
  const base = isKnown ? i32(map.base) : load(handle, Descriptor.BASE)
  const max = isKnown ? i32(map.maxEntries) : load(handle, Descriptor.MAX_ENTRIES)
  const key: Code = (code) => code.memory(Op.i32_load, pushAddress(ctx, 2, 0, map.keySize))
  return w.all(
    w.set(index, key),
    w.choose(w.below(get(index), max), ofCpu(map, add(mul(get(index), i32(map.stride)), base), ofWhich), i32(0)),
  )
}

function hashValue(ctx: FunctionContext, { map, handle }: Target, ofWhich: Code = cpu): Code {
  const { index } = ctx.locals
  const element = w.call(ctx.module.findFunction(map.keySize), keyAddress(ctx, map.keySize), handle)
  const mark = w.when(get(index), w.store(get(index), i32(1), Element.REFERENCED))
  return w.all(
    w.set(index, element),
    map.kind === 'lru' ? mark : w.all(),
    w.choose(get(index), ofCpu(map, add(get(index), i32(map.valueOffset)), ofWhich), i32(0)),
  )
}

function trieValue(ctx: FunctionContext, { map, handle }: Target): Code {
  const lookup = ctx.module.function(`lookup_${shape(map)}`, TRIE_LOOKUP_FUNCTION, () => trieLookupBody(map))
  return w.call(lookup, keyAddress(ctx, map.keySize), handle)
}

/** The value of a CPU, from that of the first. */
function ofCpu(map: MapLayout, value: Code, ofWhich: Code): Code {
  return map.cpuStride === 0 ? value : add(value, mul(ofWhich, i32(map.cpuStride)))
}

/** Flags of an update that are 0 to 2, with BPF_F_LOCK if that is allowed; or null. */
function knownFlags(ctx: FunctionContext, register: number, mayLock: boolean = false): number | null {
  const flags = ctx.values.constantAddress(register)
  if (flags === null) return null
  return (mayLock ? flags & ~UpdateFlag.LOCK : flags) <= UpdateFlag.EXIST ? flags : null
}

/** Whether BPF_F_LOCK is good for the map. */
const takesLock = ({ kind, locks, cpuStride }: MapLayout): boolean =>
  locks.length > 0 && cpuStride === 0 && (kind === 'array' || kind === 'hash')

function emitUpdate(ctx: FunctionContext, fast: FastPath): boolean {
  const target = targetOf(ctx, 1)
  if (target === null) return false
  const { map, handle } = target
  // Where other threads run, the helper takes the value's lock.
  const flags = knownFlags(ctx, 4, takesLock(map) && !ctx.module.isShared)
  if (flags === null) return false
  if (!hasInlineKeys(map) || map.inner !== null || map.hasFields || map.valueSize > MAX_VALUE_SIZE) return false
  const update = ctx.module.function(`update_${shape(map)}_${flags}`, UPDATE_FUNCTION, () => {
    if (map.kind === 'array') return arrayUpdateBody(map, flags)
    return map.kind === 'trie' ? trieUpdateBody(map, flags) : updateBody(map, flags)
  })
  const ranges = [
    [2, map.keySize],
    [3, map.valueSize],
  ] as const
  return fast.emit(ranges, doubts(target), w.call(update, lowOf(ctx, 2), lowOf(ctx, 3), handle), 'errno')
}

function emitDelete(ctx: FunctionContext, fast: FastPath): boolean {
  const target = targetOf(ctx, 1)
  if (target === null) return false
  const { map, handle } = target
  if (!hasInlineKeys(map) || map.kind === 'array' || map.inner !== null || map.hasFields) return false
  const remove = ctx.module.function(`delete_${shape(map)}`, DELETE_FUNCTION, () =>
    map.kind === 'trie' ? trieDeleteBody(map) : deleteBody(map),
  )
  return fast.emit([[2, map.keySize]], doubts(target), w.call(remove, lowOf(ctx, 2), handle), 'errno')
}

/** A queue, stack or bloom filter whose values are not too large. */
function knownQueue(ctx: FunctionContext): MapLayout | null {
  const map = knownMap(ctx, 1)
  if (map === null || map.hasFields || map.locks.length > 0 || map.valueSize > MAX_VALUE_SIZE) return null
  if (map.kind === 'bloom') return map.valueSize <= MAX_KEY_SIZE ? map : null
  return map.kind === 'queue' || map.kind === 'stack' ? map : null
}

function emitPush(ctx: FunctionContext, fast: FastPath): boolean {
  const map = knownQueue(ctx)
  const flags = knownFlags(ctx, 3)
  if (map === null || flags === null || flags === UpdateFlag.NOEXIST) return false
  if (map.kind === 'bloom' && flags !== UpdateFlag.ANY) return false
  const push = ctx.module.function(`push_${map.handle}_${flags}`, QUEUE_FUNCTION, () =>
    map.kind === 'bloom' ? bloomBody(map, true) : pushBody(map, flags),
  )
  return fast.emit([[2, map.valueSize]], [], w.call(push, lowOf(ctx, 2)), 'errno')
}

function emitPeek(ctx: FunctionContext, fast: FastPath, removes: boolean): boolean {
  const map = knownQueue(ctx)
  if (map === null || (removes && map.kind === 'bloom')) return false
  const peek =
    map.kind === 'bloom'
      ? ctx.module.function(`peek_${map.handle}`, BLOOM_FUNCTION, () => bloomBody(map, false))
      : ctx.module.function(`${removes ? 'pop' : 'peek'}_${map.handle}`, QUEUE_FUNCTION, () => peekBody(map, removes))
  return fast.emit([[2, map.valueSize]], [], w.call(peek, lowOf(ctx, 2)), 'errno')
}

function knownRing(ctx: FunctionContext): MapLayout | null {
  const map = knownMap(ctx, 1)
  return map?.kind === 'ringbuf' ? map : null
}

/** Whether records of this size fit into the ring, and such sizes are compiled. */
const fits = (map: MapLayout, size: number): boolean => size <= GUARD_SIZE && size + 8 <= map.stride

function emitReserve(ctx: FunctionContext): boolean {
  const map = knownRing(ctx)
  const size = ctx.values.constantAddress(2)
  if (map === null || size === null || !fits(map, size) || ctx.values.constantAddress(3) !== 0) return false
  const reserve = ctx.module.function(`reserve_${map.handle}_${size}`, RESERVE_FUNCTION, () => reserveBody(map, size))
  return setResult(ctx, w.extend(w.call(reserve)))
}

/** The record says nothing of its ring, so that all of the program are tried. */
function emitCommit(ctx: FunctionContext, fast: FastPath, discard: boolean): boolean {
  const { rings } = ctx.module
  if (rings.length === 0) return false
  const commit = ctx.module.function('commit', COMMIT_FUNCTION, () => commitBody(rings))
  return fast.emit([], [fast.isLarge(1)], w.call(commit, lowOf(ctx, 1), i32(discard ? 1 : 0)), 'errno')
}

/** BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP, which mean nothing here. */
const WAKEUP_FLAGS = 3

function emitOutput(ctx: FunctionContext, fast: FastPath): boolean {
  const map = knownRing(ctx)
  const flags = ctx.values.constantAddress(4)
  if (map === null || flags === null || flags > WAKEUP_FLAGS) return false
  const size = ctx.values.constantAddress(3)
  if (size !== null && !fits(map, size)) return false
  const output = ctx.module.function(`output_${map.handle}_${size ?? 'any'}`, OUTPUT_FUNCTION, () =>
    outputBody(map, size),
  )
  const call = w.call(output, lowOf(ctx, 2), lowOf(ctx, 3))
  if (size !== null) return fast.emit([[2, size]], [], call, 'errno')
  return fast.emit(
    [],
    [2, 3].map((register) => fast.isLarge(register)),
    call,
    'errno',
  )
}

function emitQuery(ctx: FunctionContext): boolean {
  const map = knownRing(ctx)
  const what = ctx.values.constantAddress(2)
  return map !== null && what !== null && setResult(ctx, queryOf(map, what))
}
