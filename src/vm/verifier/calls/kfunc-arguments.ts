import { BtfKind, type BtfParam, type BtfType } from '../../../btf/index.ts'
import { AttachType, contextStruct, ProgType } from '../../../uapi/index.ts'
import { checkArgumentOffset } from '../context/access.ts'
import { isConst, isZero, valueOf } from '../domain/bounds.ts'
import type { FieldKind } from '../facts/fields.ts'
import { fieldsOf, hasField } from '../facts/query.ts'
import { markPrecise } from '../precision.ts'
import { kindWord } from '../program/signature.ts'
import { deny, invalid, Reject, unsupported } from '../reject.ts'
import { Flag, kindName, type Reg, regName } from '../state/register.ts'
import type { Walk } from '../walk.ts'
import { checkString, structsMatch } from './arguments.ts'
import { initializedDynptr, newDynptr } from './dynptr.ts'
import { restoreIrq, saveIrq } from './irq.ts'
import { initializedIterator, newIterator } from './iterator.ts'
import { hasFlag, type KfuncCall } from './kfunc-call.ts'
import { inLess } from './kinds.ts'
import { stepLock } from './lock.ts'
import { checkMapField } from './map-field.ts'
import { checkMemory, checkSize } from './memory-argument.ts'
import { checkGraphNode, graphRoot, isNumber, isScalarStruct } from './objects.ts'

/** What the BTF of a pointer parameter (and sometimes the register) makes of an argument. */
type ArgumentKind =
  | 'null'
  | 'ctx'
  | 'object'
  | 'counted'
  | 'dynptr'
  | 'iterator'
  | 'root'
  | 'node'
  | 'string'
  | 'map'
  | 'wq'
  | 'taskWork'
  | 'irqFlag'
  | 'resLock'
  | 'struct'
  | 'callback'
  | 'memory'
  | 'buffer'

interface Argument {
  readonly param: BtfParam
  readonly index: number
  readonly regno: number
  readonly reg: Reg
  /** What the pointer points to. */
  readonly target: BtfType
}

/** Kernel structures behind pointers that are not by BTF. */
const BEHIND: Readonly<Record<string, string>> = {
  sock: 'sock',
  sock_common: 'sock_common',
  tcp_sock: 'tcp_sock',
  map_ptr: 'bpf_map',
}

const BY_SUFFIX: readonly (readonly [string, ArgumentKind])[] = [
  ['__alloc', 'object'],
  ['__refcounted_kptr', 'counted'],
]
const BY_STRUCT: Readonly<Record<string, ArgumentKind>> = {
  bpf_list_head: 'root',
  bpf_rb_root: 'root',
  bpf_list_node: 'node',
  bpf_rb_node: 'node',
  bpf_wq: 'wq',
  bpf_task_work: 'taskWork',
  bpf_res_spin_lock: 'resLock',
}

/** Checks the arguments of a kernel function and takes down what they tell. */
export function checkKfuncArguments(walk: Walk, call: KfuncCall): void {
  const { params, btf } = call
  for (let index = 0; index < params.length; index++) {
    const param = params[index] as BtfParam
    if (param.name.endsWith('__prog') || param.name.endsWith('__ign')) continue
    const regno = index + 1
    const reg = walk.reg(regno)
    const type = btf.type(btf.skipModifiersAndTypedefs(param.type))
    if (type.kind !== BtfKind.PTR) checkNumber(walk, call, param, regno)
    else {
      const target = btf.type(btf.skipModifiersAndTypedefs(type.type))
      if (checkPointer(walk, call, { param, index, regno, reg, target }) === 'buffer') index++
    }
  }
  if (hasFlag(call, 'release') && call.releases === 0) {
    invalid(`release kernel function ${call.name} expects refcounted PTR_TO_BTF_ID`)
  }
}

function checkNumber(walk: Walk, call: KfuncCall, param: BtfParam, regno: number): void {
  const reg = walk.reg(regno)
  if (reg.kind !== 'scalar') invalid(`R${regno} is not a scalar`)
  if (param.name.endsWith('__k')) takeConstant(walk, call, regno)
}

function takeConstant(walk: Walk, call: KfuncCall, regno: number, isSize: boolean = false): void {
  const { value } = walk.reg(regno)
  if (!isConst(value)) invalid(`R${regno} must be a known constant`)
  if (!isSize) markPrecise(walk, regno)
  call.constant = valueOf(value)
}

function isNull(reg: Reg): boolean {
  return reg.kind === 'scalar' && isConst(reg.value) && isZero(reg.value)
}

function checkPointer(walk: Walk, call: KfuncCall, arg: Argument): ArgumentKind {
  const { reg, regno, index, param } = arg
  const isTrustedCall = hasFlag(call, 'trusted') || hasFlag(call, 'release')
  const isChecked = isTrustedCall || hasFlag(call, 'rcu')
  if (isChecked && (isNull(reg) || reg.mayBeNull) && !param.name.endsWith('__nullable')) {
    deny(`Possibly NULL pointer passed to trusted arg${index}`)
  }
  if (reg.refId !== 0) {
    call.refId = reg.refId
    if (hasFlag(call, 'release')) call.releases = regno
  }
  const kind = classify(walk, call, arg)
  if (kind === 'null') return kind
  if (kind === 'map') takeMap(call, arg)
  const isObject = kind === 'map' || kind === 'object' || kind === 'struct'
  if (isObject && isChecked && !isTrusted(reg)) {
    if (!hasFlag(call, 'rcu')) invalid(`R${regno} must be referenced or trusted`)
    if ((reg.flags & Flag.RCU) === 0) invalid(`R${regno} must be a rcu pointer`)
  }
  checkArgumentOffset(reg, regno, hasFlag(call, 'release') && reg.refId !== 0)
  checkKind(walk, call, arg, kind)
  return kind
}

/** Whether a pointer is known to be valid as long as the call lasts. */
function isTrusted(reg: Reg): boolean {
  if (reg.refId !== 0) return true
  const unsafe = reg.flags & ~(Flag.TRUSTED | Flag.ALLOC | Flag.NON_OWN_REF)
  if (BEHIND[reg.kind] !== undefined && unsafe === 0) return true
  return unsafe === 0 && (reg.flags & (Flag.TRUSTED | Flag.ALLOC | Flag.NON_OWN_REF)) !== 0
}

function isSize(walk: Walk, call: KfuncCall, index: number): boolean {
  const param = call.params[index]
  return param !== undefined && /__szk?$/.test(param.name) && walk.reg(index + 1).kind === 'scalar'
}

function isIterator(call: KfuncCall, index: number): boolean {
  return index === 0 && (hasFlag(call, 'iterNew') || hasFlag(call, 'iterNext') || hasFlag(call, 'iterDestroy'))
}

function classify(walk: Walk, call: KfuncCall, arg: Argument): ArgumentKind {
  const { param, index, reg, target } = arg
  const { name } = param
  if (call.name === 'bpf_cast_to_kern_ctx') return 'ctx'
  if (target.name !== '' && target.name === contextStruct(walk.facts.type)) return 'ctx'
  if (name.endsWith('__nullable') && isNull(reg)) return 'null'
  const bySuffix = BY_SUFFIX.find(([suffix]) => name.endsWith(suffix))
  if (bySuffix !== undefined) return bySuffix[1]
  if (target.name === 'bpf_dynptr') return 'dynptr'
  if (isIterator(call, index)) return 'iterator'
  if (name.endsWith('__str')) return 'string'
  if (name.endsWith('__map')) return 'map'
  if (name.endsWith('__irq_flag')) return 'irqFlag'
  const byStruct = BY_STRUCT[target.name]
  if (byStruct !== undefined) return byStruct
  if (reg.kind === 'ptr_' || BEHIND[reg.kind] !== undefined) {
    if (target.kind === BtfKind.STRUCT || target.kind === BtfKind.UNION) return 'struct'
    invalid(
      `kernel function ${call.name} args#${index} pointer type ${kindWord(target)} ${target.name} is not supported`,
    )
  }
  if (target.kind === BtfKind.FUNC_PROTO) return 'callback'
  const isBuffer = isSize(walk, call, index + 1)
  const isPlain = isNumber(target.kind) || isScalarStruct(call.btf, target.id, 0)
  if (!isPlain && !(isBuffer && target.kind === BtfKind.VOID)) {
    const also = isBuffer ? 'void, ' : ''
    invalid(
      `arg#${index} pointer type ${kindWord(target)} ${target.name} must point to ${also}scalar, or struct with scalar`,
    )
  }
  return isBuffer ? 'buffer' : 'memory'
}

function takeMap(call: KfuncCall, arg: Argument): void {
  const { reg, regno } = arg
  if (reg.kind === 'ptr_') return
  const { map } = reg
  if (map === null) return invalid(`pointer in R${regno} isn't map pointer`)
  const isWork = hasField(map, 'bpf_task_work')
  if (call.map !== null && (isWork || hasField(map, 'bpf_wq')) && (call.map !== map || call.mapUid !== reg.mapUid)) {
    const [what, own, other] = isWork ? ['bpf_task_work', 2, 3] : ['workqueue', 1, 2]
    invalid(
      `${what} pointer in R${own} map_uid=${call.mapUid} doesn't match map pointer in R${other} map_uid=${reg.mapUid}`,
    )
  }
  call.map = map
  call.mapUid = reg.mapUid
}

function checkKind(walk: Walk, call: KfuncCall, arg: Argument, kind: ArgumentKind): void {
  const { reg, regno, index, target } = arg
  switch (kind) {
    case 'ctx':
      if (reg.kind !== 'ctx') invalid(`arg#${index} expected pointer to ctx, but got ${regName(reg)}`)
      return
    case 'object':
      return checkObject(call, arg)
    case 'counted':
      return checkCounted(walk, call, arg)
    case 'dynptr':
      return checkDynptr(walk, call, arg)
    case 'iterator':
      return checkIterator(walk, call, arg)
    case 'root':
      return checkRoot(walk, call, arg)
    case 'node':
      return checkNode(walk, call, arg)
    case 'string':
      if (reg.kind !== 'map_value') invalid(`arg#${index} doesn't point to a const string`)
      checkString(reg, regno)
      return
    case 'wq':
    case 'taskWork':
      if (reg.kind !== 'map_value' || reg.mayBeNull) invalid(`arg#${index} doesn't point to a map value`)
      checkMapField(reg, regno, kind === 'wq' ? 'bpf_wq' : 'bpf_task_work')
      call.map = reg.map
      call.mapUid = reg.mapUid
      return
    case 'irqFlag':
      if (reg.kind !== 'fp') invalid(`arg#${index} doesn't point to an irq flag on stack`)
      if (/_irqsave$|_irq_save$/.test(call.name)) saveIrq(walk, regno, call.name.startsWith('bpf_res_'))
      else restoreIrq(walk, regno, call.name.startsWith('bpf_res_'))
      return
    case 'resLock':
      return checkResLock(walk, call, arg)
    case 'map':
      return checkStruct(walk, call, arg, call.btf.findByName('bpf_map', BtfKind.STRUCT) ?? 0)
    case 'struct':
      return checkStruct(walk, call, arg, target.id)
    case 'callback':
      if (reg.kind !== 'func') invalid(`arg${index} expected pointer to func`)
      call.callback = reg.subprog
      return
    case 'memory':
      return checkPlain(walk, call, arg)
    case 'buffer':
      return checkBuffer(walk, call, arg)
    case 'null':
  }
}

const ALLOC_FLAGS = Flag.ALLOC

function isOwnObject(reg: Reg): boolean {
  return reg.kind === 'ptr_' && reg.flags === ALLOC_FLAGS
}

function checkObject(call: KfuncCall, { reg, index }: Argument): void {
  const isPercpu = reg.kind === 'ptr_' && reg.flags === (Flag.ALLOC | Flag.PERCPU)
  if (!isOwnObject(reg) && !isPercpu) invalid(`arg#${index} expected pointer to allocated object`)
  const wanted = isPercpu ? 'bpf_percpu_obj_drop_impl' : 'bpf_obj_drop_impl'
  if (call.name !== wanted) invalid(`arg#${index} expected for ${wanted}()`)
  if (reg.refId === 0) invalid('allocated object must be referenced')
}

function checkCounted(walk: Walk, call: KfuncCall, { reg, index }: Argument): void {
  if (reg.kind !== 'ptr_' || (reg.flags & Flag.ALLOC) === 0) {
    invalid(`arg#${index} is neither owning or non-owning ref`)
  }
  call.owned = (reg.flags & Flag.NON_OWN_REF) === 0 && reg.refId !== 0
  if (!fieldsOf(reg, walk.facts.btf).some((f) => f.kind === 'bpf_refcount')) {
    invalid(`arg#${index} doesn't point to a type with bpf_refcount field`)
  }
  call.objectId = reg.btfId
}

function checkDynptr(walk: Walk, call: KfuncCall, { param, regno }: Argument): void {
  if (!param.name.endsWith('__uninit')) {
    call.dynptr = initializedDynptr(walk, regno, null)
    return
  }
  switch (call.name) {
    case 'bpf_dynptr_from_skb':
      return newDynptr(walk, regno, 'skb')
    case 'bpf_dynptr_from_skb_meta':
      return newDynptr(walk, regno, 'skb_meta')
    case 'bpf_dynptr_from_xdp':
      return newDynptr(walk, regno, 'xdp')
    case 'bpf_dynptr_clone': {
      const type = call.dynptr?.dynptr?.type
      if (call.dynptr === null || type === undefined) return unsupported('clones of this dynptr')
      return newDynptr(walk, regno, type, call.dynptr.refId)
    }
    default:
      return unsupported(`dynptrs made by ${call.name}`)
  }
}

function checkIterator(walk: Walk, call: KfuncCall, { reg, regno, index, target }: Argument): void {
  if (call.name === 'bpf_iter_css_task_new' && !mayIterateTasks(walk)) {
    invalid('css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs')
  }
  if (reg.kind !== 'fp') invalid(`arg#${index} expected pointer to an iterator on stack`)
  const slots = call.btf.sizeOf(target.id) / 8
  const type = target.name.replace(/^bpf_iter_/, '')
  if (hasFlag(call, 'iterNew')) return newIterator(walk, regno, type, slots, hasFlag(call, 'rcuProtected'))
  call.place = initializedIterator(walk, regno, type, slots, call.name)
  call.refId = walk.state.frames[call.place.frame]?.slot(call.place.slot).reg?.refId ?? 0
}

function mayIterateTasks(walk: Walk): boolean {
  const { type, attachType } = walk.facts
  return (
    type === ProgType.LSM || (type === ProgType.TRACING && attachType === AttachType.TRACE_ITER) || walk.state.sleepable
  )
}

function checkRoot(walk: Walk, call: KfuncCall, { reg, regno, index, target }: Argument): void {
  const isMap = reg.kind === 'map_value' && !reg.mayBeNull
  if (!isMap && !isOwnObject(reg)) invalid(`arg#${index} expected pointer to map value or allocated object`)
  if (!isMap && reg.refId === 0) invalid('allocated object must be referenced')
  call.root = graphRoot(walk, reg, regno, target.name as FieldKind)
}

function checkNode(walk: Walk, call: KfuncCall, { reg, regno, index, target }: Argument): void {
  const isTree = target.name === 'bpf_rb_node'
  if (!isTree || call.name === 'bpf_rbtree_add_impl') {
    if (!isOwnObject(reg)) invalid(`arg#${index} expected pointer to allocated object`)
    if (reg.refId === 0) invalid('allocated object must be referenced')
  } else {
    const isNonOwning = reg.kind === 'ptr_' && (reg.flags & Flag.NON_OWN_REF) !== 0
    if (!isNonOwning && reg.refId === 0) {
      invalid(`${call.name} can only take non-owning or refcounted bpf_rb_node pointer`)
    }
    if (inLess(walk)) invalid(`${call.name} not allowed in rbtree cb`)
  }
  if (call.root === null) return unsupported('nodes without a list or tree')
  const kinds = isTree
    ? ({ root: 'bpf_rb_root', node: 'bpf_rb_node' } as const)
    : ({ root: 'bpf_list_head', node: 'bpf_list_node' } as const)
  checkGraphNode(walk, reg, regno, call.root, kinds)
  call.objectId = reg.btfId
}

function checkResLock(walk: Walk, call: KfuncCall, { reg, regno, index }: Argument): void {
  if (inLess(walk)) deny("can't res_spin_{lock,unlock} in rbtree cb")
  if (!(reg.kind === 'map_value' && !reg.mayBeNull) && !isOwnObject(reg)) {
    invalid(`arg#${index} doesn't point to map value or allocated object`)
  }
  const isIrq = /_irq(save|restore)$/.test(call.name)
  stepLock(walk, regno, isIrq ? 'resLockIrq' : 'resLock', !call.name.includes('unlock'))
}

/** A pointer to a kernel structure: of the right type, or a structure that begins with one. */
function checkStruct(walk: Walk, call: KfuncCall, { reg, regno, index }: Argument, targetId: number): void {
  const { btf } = call
  const behind = BEHIND[reg.kind]
  const unsafe = reg.flags & ~(Flag.TRUSTED | Flag.ALLOC | Flag.NON_OWN_REF)
  const isUsable = reg.kind === 'ptr_' && (unsafe === 0 || (reg.flags & Flag.RCU) !== 0)
  if (!isUsable && behind === undefined) {
    const expected = kindName(reg.kind, reg.flags & Flag.TRUSTED)
    invalid(`arg#${index} is ${regName(reg)} expected ${expected} or socket`)
  }
  const target = btf.name(targetId)
  const id = behind === undefined ? reg.btfId : (btf.findByName(behind, BtfKind.STRUCT) ?? 0)
  // Objects of the program's own types are never kernel structures, whatever their numbers say.
  const own = reg.kind === 'ptr_' && reg.btf === 'program'
  const name = own ? (walk.facts.btf?.name(id) ?? '') : btf.name(id)
  // The function is declared with the context's name for the structure behind it.
  const isProjection = !own && PROJECTIONS[target] === name
  const isStrict = (hasFlag(call, 'release') && reg.refId !== 0) || isAlias(name, target)
  const same = !own && (isStrict ? reg.off === 0 && id === targetId : structsMatch(btf, id, reg.off, targetId))
  if (isProjection || same) return
  const words = `expected pointer to STRUCT ${target} but R${regno} has a pointer to STRUCT ${name}`
  invalid(`kernel function ${call.name} args#${index} ${words}`)
}

const PROJECTIONS: Readonly<Record<string, string>> = { __sk_buff: 'sk_buff', xdp_md: 'xdp_buff' }

/** Names like `nf_conn___init` mark a state of the same structure that must not be confused with it. */
function isAlias(a: string, b: string): boolean {
  return a.endsWith('___init') !== b.endsWith('___init') && a.replace(/___init$/, '') === b.replace(/___init$/, '')
}

function checkPlain(walk: Walk, call: KfuncCall, { reg, regno, target }: Argument): void {
  if (isNull(reg)) return
  const size = call.btf.sizeOf(target.id)
  withoutNull(walk, regno, reg, () => {
    checkMemory(walk, regno, size, false, false)
    checkMemory(walk, regno, size, false, true)
  })
}

/** Runs a check on a register as if it were known not to be null. */
function withoutNull(walk: Walk, regno: number, reg: Reg, check: () => void): void {
  if (!reg.mayBeNull) return check()
  const copy = reg.clone()
  copy.flags &= ~Flag.MAYBE_NULL
  walk.set(regno, copy)
  check()
  walk.set(regno, reg)
}

function checkBuffer(walk: Walk, call: KfuncCall, { param, reg, regno, index }: Argument): void {
  const size = call.params[regno] as BtfParam
  if (!(isNull(reg) && param.name.endsWith('__opt'))) {
    try {
      withoutNull(walk, regno, reg, () => {
        checkSize(walk, regno + 1, true, false, false)
        checkSize(walk, regno + 1, true, true, false)
      })
    } catch (error) {
      if (!(error instanceof Reject) || error.errno === 'UNSUPPORTED') throw error
      const words = `arg#${index} arg#${index + 1} memory, len pair leads to invalid memory access`
      throw new Reject(error.errno, `${error.text}\n${words}`)
    }
  }
  if (size.name.endsWith('__szk')) takeConstant(walk, call, regno + 1, true)
}
