import { BtfKind, type Btf, type BtfFuncProto, type BtfType } from '../../../btf/index.ts'
import { AttachType, contextStruct, ProgType as P } from '../../../uapi/index.ts'
import { invalid, Reject, unsupported } from '../reject.ts'
import { Flag } from '../state/register.ts'
import type { Subprogram } from './layout.ts'

/** What a function of the program gets in a register, as its BTF and the tags of its arguments say. */
export type Parameter =
  | { readonly kind: 'anything' | 'ctx' | 'dynptr' | 'arena' }
  /** Memory of `size` bytes. */
  | { readonly kind: 'mem'; readonly size: number; readonly flags: number }
  /** A structure of the kernel. */
  | { readonly kind: 'btf'; readonly btfId: number; readonly flags: number }

/** The program as far as its functions' signatures depend on it. */
export interface SignatureFacts {
  /** Type whose contexts the program gets; that of the target for an extension. */
  readonly type: number
  readonly attachType: number
  readonly btf: Btf | null
  readonly kernelBtf: Btf | null
}

const TAGS: ReadonlySet<string> = new Set(['ctx', 'trusted', 'untrusted', 'nonnull', 'nullable', 'arena'])
const MAX_PARAMETERS = 5

/** The prototype of a function by its BTF, null when it has none. */
export function prototypeOf(btf: Btf | null, sub: { readonly btfId: number }): BtfFuncProto | null {
  if (btf === null || sub.btfId === 0) return null
  const func = btf.type(sub.btfId)
  if (func.kind !== BtfKind.FUNC) return null
  const proto = btf.type(func.type)
  return proto.kind === BtfKind.FUNC_PROTO ? proto : null
}

/** Parameters of a function, by which a global one is verified and called. */
export function parametersOf(facts: SignatureFacts, sub: Subprogram): readonly Parameter[] {
  const { btf } = facts
  const proto = prototypeOf(btf, sub)
  if (btf === null || proto === null) return unsupported('global functions without BTF')
  const count = proto.params.length
  if (count > MAX_PARAMETERS) {
    invalid(`Global function ${sub.name}() with ${count} > ${MAX_PARAMETERS} args. Buggy compiler.`)
  }
  if (!isNumber(btf.type(btf.skipModifiersAndTypedefs(proto.returnType)))) {
    invalid(`Global function ${sub.name}() doesn't return scalar. Only those are supported.`)
  }
  return proto.params.map((param, i) => parameter(facts, btf, sub, param.type, i))
}

function isNumber(type: BtfType): boolean {
  return type.kind === BtfKind.INT || type.kind === BtfKind.ENUM || type.kind === BtfKind.ENUM64
}

function tagsOf(btf: Btf, sub: Subprogram, index: number): ReadonlySet<string> {
  const tags = new Set<string>()
  for (const type of btf.types()) {
    if (type.kind !== BtfKind.DECL_TAG || type.type !== sub.btfId || type.componentIndex !== index) continue
    if (!type.name.startsWith('arg:')) continue
    if (!sub.global) throw new Reject('EOPNOTSUPP', `arg#${index} type tag is not supported in static functions`)
    const tag = type.name.slice(4)
    if (!TAGS.has(tag)) throw new Reject('EOPNOTSUPP', `arg#${index} has unsupported set of tags`)
    tags.add(tag)
  }
  return tags
}

function parameter(facts: SignatureFacts, btf: Btf, sub: Subprogram, id: number, index: number): Parameter {
  const tags = tagsOf(btf, sub, index)
  const only = (tag: string): boolean => tags.has(tag) && tags.size === 1
  const combined = (): never => invalid(`arg#${index} has invalid combination of tags`)
  const type = btf.type(btf.skipModifiersAndTypedefs(id))
  if (type.kind !== BtfKind.PTR) {
    if (tags.size > 0) invalid(`arg#${index} has pointer tag, but is not a pointer type`)
    if (isNumber(type)) return { kind: 'anything' }
    return invalid(`Arg#${index} type ${kindWord(type)} in ${sub.name}() is not supported yet.`)
  }
  if (tags.has('ctx') || isContext(facts.type, btf, type.type)) {
    if (tags.size > 0 && !only('ctx')) combined()
    if (tags.has('ctx')) checkContextType(facts, btf, type.type, index)
    return { kind: 'ctx' }
  }
  const target = btf.type(btf.skipModifiersAndTypedefs(type.type))
  if (target.kind === BtfKind.STRUCT && target.name === 'bpf_dynptr') {
    if (tags.size > 0) combined()
    return { kind: 'dynptr' }
  }
  if (tags.has('trusted')) {
    if (tags.has('nonnull')) combined()
    const flags = Flag.TRUSTED | (tags.has('nullable') ? Flag.MAYBE_NULL : 0)
    return { kind: 'btf', btfId: kernelType(facts, btf, target, index), flags }
  }
  if (tags.has('untrusted')) {
    if (tags.size > 1) invalid(`arg#${index} untrusted cannot be combined with any other tags`)
    if (target.kind === BtfKind.VOID || isNumber(target)) {
      return { kind: 'mem', size: 0, flags: Flag.RDONLY | Flag.UNTRUSTED }
    }
    const btfId = kernelType(facts, btf, target, index)
    const kernelKind = facts.kernelBtf?.kind(btfId)
    if (kernelKind !== BtfKind.STRUCT && kernelKind !== BtfKind.UNION) {
      const word = kernelKind === undefined ? 'UNKNOWN' : kindWord(facts.kernelBtf?.type(btfId) as BtfType)
      invalid(`arg#${index} has type ${word} '${target.name}', but only struct or primitive types are allowed`)
    }
    return { kind: 'btf', btfId, flags: Flag.UNTRUSTED }
  }
  if (tags.has('arena')) {
    if (tags.size > 1) invalid(`arg#${index} arena cannot be combined with any other tags`)
    return { kind: 'arena' }
  }
  if (!sub.global || tags.has('nullable')) combined()
  const size = sizeOf(btf, target)
  if (size === null) {
    return invalid(`arg#${index} reference type('${kindWord(target)} ${target.name}') size cannot be determined: -22`)
  }
  return { kind: 'mem', size, flags: tags.has('nonnull') ? 0 : Flag.MAYBE_NULL }
}

function sizeOf(btf: Btf, type: BtfType): number | null {
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others have no size
  switch (type.kind) {
    case BtfKind.INT:
    case BtfKind.ENUM:
    case BtfKind.ENUM64:
    case BtfKind.STRUCT:
    case BtfKind.UNION:
    case BtfKind.ARRAY:
    case BtfKind.PTR:
    case BtfKind.FLOAT:
      return btf.sizeOf(type.id)
    default:
      return null
  }
}

/** The word with which the kernel's messages call a kind of type. */
export function kindWord(type: BtfType): string {
  return KIND_WORDS[type.kind] ?? 'UNKNOWN'
}

const KIND_WORDS: Readonly<Record<number, string>> = {
  [BtfKind.VOID]: 'UNKNOWN',
  [BtfKind.INT]: 'INT',
  [BtfKind.PTR]: 'PTR',
  [BtfKind.ARRAY]: 'ARRAY',
  [BtfKind.STRUCT]: 'STRUCT',
  [BtfKind.UNION]: 'UNION',
  [BtfKind.ENUM]: 'ENUM',
  [BtfKind.FWD]: 'FWD',
  [BtfKind.FUNC_PROTO]: 'FUNC_PROTO',
  [BtfKind.FLOAT]: 'FLOAT',
  [BtfKind.ENUM64]: 'ENUM64',
}

/** The kernel's type of the same name, flavours ("task_struct___v2") aside. */
function kernelType(facts: SignatureFacts, btf: Btf, target: BtfType, index: number): number {
  const { kernelBtf } = facts
  if (kernelBtf === null) return unsupported('arguments with kernel types without kernel BTF')
  const name = target.name.replace(/___.*$/, '')
  const found =
    name === '' ? [] : kernelBtf.findAllByName(name).filter((id) => kernelBtf.kind(id) === btf.kind(target.id))
  if (found.length === 1) return found[0] as number
  const what = `arg#${index} reference type('${kindWord(target)} ${target.name}')`
  if (found.length === 0) throw new Reject('ENOENT', `${what} has no matches`)
  throw new Reject('ESRCH', `${what} is ambiguous`)
}

/** Other names under which the structure of a context is known. */
const PROJECTIONS: Readonly<Record<string, string>> = { __sk_buff: 'sk_buff', xdp_md: 'xdp_buff' }

/** Whether a pointer to a type is by its name the context of a program type. */
export function isContext(type: number, btf: Btf, target: number): boolean {
  if (type === P.KPROBE && typedefName(btf, target) === 'bpf_user_pt_regs_t') return true
  const pointed = btf.type(btf.skipModifiersAndTypedefs(target))
  if (pointed.kind !== BtfKind.STRUCT || pointed.name === '') return false
  if (type === P.KPROBE && pointed.name === 'bpf_user_pt_regs_t') return true
  const own = contextStruct(type)
  return own !== null && (pointed.name === own || pointed.name === PROJECTIONS[own])
}

/** Whether a parameter of a function, a pointer to `target`, is the program's context: by its name or by its tag. */
export function isContextParameter(facts: SignatureFacts, func: number, index: number, target: number): boolean {
  const { btf, type } = facts
  if (btf === null) return false
  if (isContext(type, btf, target)) return true
  for (const tag of btf.types()) {
    if (tag.kind !== BtfKind.DECL_TAG || tag.type !== func || tag.componentIndex !== index) continue
    if (tag.name === 'arg:ctx') return true
  }
  return false
}

/** Name of the outermost typedef of a type. */
function typedefName(btf: Btf, id: number): string | null {
  let type = btf.type(id)
  while (
    type.kind === BtfKind.CONST ||
    type.kind === BtfKind.VOLATILE ||
    type.kind === BtfKind.RESTRICT ||
    type.kind === BtfKind.TYPE_TAG
  ) {
    type = btf.type(type.type)
  }
  return type.kind === BtfKind.TYPEDEF ? type.name : null
}

/** An argument tagged as context must be declared as one. */
function checkContextType(facts: SignatureFacts, btf: Btf, target: number, index: number): void {
  const { attachType, type } = facts
  const isTrace = type === P.KPROBE || type === P.PERF_EVENT
  if (isTrace && typedefName(btf, target) === 'bpf_user_pt_regs_t') return
  const pointed = btf.type(btf.skipModifiersAndTypedefs(target))
  if (pointed.kind === BtfKind.VOID) return
  if (pointed.name === '') invalid(`arg#${index} type doesn't have a name`)
  const isStruct = pointed.kind === BtfKind.STRUCT || pointed.kind === BtfKind.UNION
  const isWord = pointed.kind === BtfKind.INT && pointed.size === 8
  switch (type) {
    case P.KPROBE:
    case P.PERF_EVENT:
      if (isStruct && pointed.name === 'pt_regs') return
      break
    case P.RAW_TRACEPOINT:
    case P.RAW_TRACEPOINT_WRITABLE:
    case P.LSM:
    case P.STRUCT_OPS:
      if (isWord) return
      break
    case P.TRACING:
      if (attachType === AttachType.TRACE_ITER) {
        if (isStruct && pointed.name.startsWith('bpf_iter__')) return
      } else if (isWord) return
      if (attachType === AttachType.TRACE_RAW_TP && isStruct && pointed.name === 'bpf_raw_tracepoint_args') return
      break
    case P.TRACEPOINT:
    case P.SYSCALL:
      return
  }
  const own = contextStruct(type)
  if (own === null) invalid(`arg#${index} should be void pointer`)
  if (!isStruct || pointed.name !== own) invalid(`arg#${index} should be \`struct ${own} *\``)
}
