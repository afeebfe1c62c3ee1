import { BtfKind, type Btf, type BtfFuncProto } from '../../../btf/index.ts'
import type { PreparedProgram } from '../../../loader/index.ts'
import {
  allowsErrorInjection,
  AttachType as A,
  errorInjectionSleeps,
  LSM_HOOKS,
  MODIFIABLE,
  NEVER_RETURN,
  NOT_TRACEABLE,
  ProgType as P,
  STRUCT_OPS,
  type StructOpsRow,
} from '../../../uapi/index.ts'
import { invalid, Reject, unsupported } from '../reject.ts'
import { kindWord, prototypeOf } from './signature.ts'

/** What a program with arguments is attached to: a function of the kernel or of another program, or a place for one. */
export interface AttachTarget {
  /** Name in messages. */
  readonly name: string
  readonly btf: Btf
  /** Its signature, null when its BTF is not reliable: five numbers then. */
  readonly proto: BtfFuncProto | null
  /** Leading parameters that programs do not see. */
  readonly skip: 0 | 1
  /** Whether the structures that arguments point to certainly exist. */
  readonly trusted: boolean
  /** LSM hook without its prefix, or null. */
  readonly hook: string | null
  /** Type of the program whose function it is; null for functions of the kernel. */
  readonly programType: number | null
  readonly structOps: { readonly row: StructOpsRow; readonly struct: string; readonly member: string } | null
  /** Arguments of a struct_ops function that may be null, and those that come with a reference. */
  readonly nullable: ReadonlySet<number>
  readonly refs: ReadonlySet<number>
}

/** A function of another program, as far as programs that attach to it depend on it. */
export interface TargetFunction {
  readonly name: string
  readonly btf: Btf | null
  readonly btfId: number
  readonly isExceptionCallback: boolean
  /** False when nothing that can run calls it: it is not there. */
  readonly exists: boolean
  /** Whether its BTF describes it truly. */
  readonly reliable: boolean
  readonly changesPacket: boolean
  readonly mightSleep: boolean
  readonly program: { readonly type: number; readonly attachType: number; readonly attachesToProgram: boolean }
}

/** What decides on a program's target. */
export interface TargetRequest {
  readonly program: PreparedProgram
  readonly attachType: number
  readonly btf: Btf | null
  readonly kernelBtf: Btf | null
  readonly gpl: boolean
  readonly sleepable: boolean
  readonly changesPacket: boolean
  readonly mightSleep: boolean
  /** Whether the kernel has CONFIG_FUNCTION_ERROR_INJECTION. */
  readonly errorInjection: boolean
  /** The function of another program that the program attaches to. */
  readonly target: TargetFunction | null
}

const PLAIN = { hook: null, programType: null, structOps: null, nullable: new Set<number>(), refs: new Set<number>() }

/** Checks that a program may be attached where it says, and gives what it is attached to; null for types without. */
export function resolveTarget(request: TargetRequest): AttachTarget | null {
  const { type } = request.program.spec
  if (request.sleepable && type !== P.SYSCALL && !mayBeSleepable(type, request.attachType)) {
    invalid('Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable')
  }
  if (type === P.STRUCT_OPS) return structOpsTarget(request)
  if (type !== P.TRACING && type !== P.LSM && type !== P.EXT) return null
  const { target } = request
  if (target !== null) return functionOfProgram(request, target)
  if (type === P.EXT) return unsupported('the program that an extension replaces a function of')
  return functionOfKernel(request)
}

const TRACING_SLEEPS: ReadonlySet<number> = new Set<number>([
  A.TRACE_FENTRY,
  A.TRACE_FEXIT,
  A.MODIFY_RETURN,
  A.TRACE_ITER,
])

function mayBeSleepable(type: number, attachType: number): boolean {
  if (type === P.TRACING) return TRACING_SLEEPS.has(attachType)
  return type === P.LSM || type === P.KPROBE || type === P.STRUCT_OPS
}

function functionOfKernel(request: TargetRequest): AttachTarget {
  const { program, attachType, kernelBtf } = request
  const wanted = program.spec.attachTarget
  if (wanted === null || wanted === '') return invalid('Tracing programs must provide btf_id')
  if (kernelBtf === null) return unsupported('attach targets without kernel BTF')
  if (wanted.includes(':') && !wanted.startsWith('vmlinux:')) return unsupported('attach targets in modules')
  const name = wanted.replace(/^vmlinux:/, '')
  switch (attachType) {
    case A.TRACE_RAW_TP:
      return tracepoint(kernelBtf, name)
    case A.TRACE_ITER:
      return { ...PLAIN, ...find(kernelBtf, `bpf_iter_${name}`), skip: 0, trusted: true }
    case A.LSM_MAC:
    case A.LSM_CGROUP:
      return lsmHook(request, kernelBtf, name)
    case A.TRACE_FENTRY:
    case A.TRACE_FEXIT:
    case A.MODIFY_RETURN:
      return tracedFunction(request, kernelBtf, name)
    default:
      throw new Reject('EINVAL', '')
  }
}

interface Found {
  readonly name: string
  readonly btf: Btf
  readonly proto: BtfFuncProto
}

function find(btf: Btf, name: string): Found {
  const btfId = btf.findByName(name, BtfKind.FUNC)
  const proto = btfId === undefined ? null : prototypeOf(btf, { btfId })
  if (proto === null) throw new Reject('ENOENT', `The address of function ${name} cannot be found`)
  checkModel(btf, proto, name)
  return { name, btf, proto }
}

function tracepoint(btf: Btf, name: string): AttachTarget {
  const id = btf.findByName(`btf_trace_${name}`, BtfKind.TYPEDEF)
  let type = id === undefined ? null : btf.type(id)
  while (type !== null && (type.kind === BtfKind.TYPEDEF || type.kind === BtfKind.PTR)) type = btf.type(type.type)
  if (type === null || type.kind !== BtfKind.FUNC_PROTO) {
    throw new Reject('ENOENT', `the kernel has no tracepoint ${name}`)
  }
  // The declaration from which the tracepoint was made has the names of its arguments.
  const templateId = btf.findByName(`__bpf_trace_${name}`, BtfKind.FUNC)
  const template = templateId === undefined ? null : prototypeOf(btf, { btfId: templateId })
  return { ...PLAIN, name, btf, proto: template ?? type, skip: 1, trusted: true }
}

function lsmHook(request: TargetRequest, btf: Btf, hook: string): AttachTarget {
  const found = find(btf, `bpf_lsm_${hook}`)
  const { sleepable, attachType, gpl } = request
  if (sleepable && (attachType === A.LSM_CGROUP || !LSM_HOOKS.sleepable.has(hook))) {
    invalid(`${found.name} is not sleepable`)
  }
  const id = btf.findByName(found.name, BtfKind.FUNC) ?? 0
  if (!gpl) invalid('LSM programs must have a GPL compatible license')
  if (LSM_HOOKS.disabled.has(hook)) invalid(`attach_btf_id ${id} points to disabled hook ${found.name}`)
  if (LSM_HOOKS.noHook.has(hook)) invalid(`attach_btf_id ${id} points to wrong type name ${found.name}`)
  return { ...PLAIN, ...found, skip: 0, trusted: !LSM_HOOKS.untrusted.has(hook), hook }
}

function tracedFunction(request: TargetRequest, btf: Btf, name: string): AttachTarget {
  const found = find(btf, name)
  const { sleepable, attachType, errorInjection } = request
  if (sleepable) {
    const injected = errorInjection && errorInjectionSleeps(name)
    if (!injected && MODIFIABLE.get(name) !== true) invalid(`${name} is not sleepable`)
  }
  if (attachType === A.MODIFY_RETURN) {
    const injected = errorInjection && allowsErrorInjection(name)
    if (!injected && !MODIFIABLE.has(name) && !name.startsWith('security_')) invalid(`${name}() is not modifiable`)
  }
  if (NOT_TRACEABLE.has(name)) invalid(`Attaching tracing programs to function '${name}' is rejected.`)
  if ((attachType === A.TRACE_FEXIT || attachType === A.MODIFY_RETURN) && NEVER_RETURN.has(name)) {
    invalid(`Attaching fexit/fmod_ret to __noreturn function '${name}' is rejected.`)
  }
  return { ...PLAIN, ...found, skip: 0, trusted: false }
}

function functionOfProgram(request: TargetRequest, target: TargetFunction): AttachTarget {
  const { program, attachType, sleepable } = request
  const isExtension = program.spec.type === P.EXT
  const { name, btf, program: owner } = target
  if (btf === null) return invalid('FENTRY/FEXIT program can only be attached to another program annotated with BTF')
  if (!target.exists) invalid(`Subprog ${name} doesn't exist`)
  const kind = isExtension ? 'Extension' : 'FENTRY/FEXIT'
  if (target.isExceptionCallback) invalid(`${kind} programs cannot attach to exception callback`)
  if (isExtension) {
    if (!target.reliable) invalid('Cannot replace static functions')
    if (request.changesPacket && !target.changesPacket) {
      invalid('Extension program changes packet data, while original does not')
    }
    if (request.mightSleep && !target.mightSleep) invalid('Extension program may sleep, while original does not')
  }
  if (program.spec.type === P.TRACING) {
    if (owner.attachesToProgram) invalid('Cannot nest tracing program attach more than once')
  } else if (owner.type === program.spec.type) invalid('Cannot recursively attach')
  const traces = owner.attachType === A.TRACE_FENTRY || owner.attachType === A.TRACE_FEXIT
  if (isExtension && owner.type === P.TRACING && traces) invalid('Cannot extend fentry/fexit')
  if (attachType === A.TRACE_RAW_TP && !isExtension) {
    invalid('Only FENTRY/FEXIT progs are attachable to another BPF prog')
  }
  const own = program.functions[0]?.btfId ?? 0
  if (isExtension) matchSignatures(request.btf, own, btf, target.btfId)
  const proto = prototypeOf(btf, target)
  if (proto === null) throw new Reject('EINVAL', '')
  if (sleepable) invalid(`${name} is not sleepable`)
  if (attachType === A.MODIFY_RETURN) invalid("can't modify return codes of BPF programs")
  const known = target.reliable ? proto : null
  if (known !== null) checkModel(btf, known, name)
  return { ...PLAIN, name, btf, proto: known, skip: 0, trusted: false, programType: owner.type }
}

/** A replacement has the signature of what it replaces. */
function matchSignatures(own: Btf | null, ownId: number, other: Btf, otherId: number): void {
  if (own === null || ownId === 0) return invalid('Program extension requires BTF')
  const sides = [
    { btf: own, id: ownId },
    { btf: other, id: otherId },
  ].map(({ btf, id }) => {
    const func = btf.type(id)
    if (func.kind !== BtfKind.FUNC) throw new Reject('EFAULT', '')
    if (func.linkage !== 1) invalid(`${func.name}() is not a global function`)
    const proto = prototypeOf(btf, { btfId: id })
    if (proto === null) throw new Reject('EFAULT', '')
    return { btf, proto, name: func.name }
  })
  const [a, b] = sides as [(typeof sides)[0], (typeof sides)[0]]
  const [m, n] = [a.proto.params.length, b.proto.params.length]
  if (m !== n) invalid(`${a.name}() has ${m} args while ${b.name}() has ${n} args`)
  const skip = (side: typeof a, id: number) => side.btf.type(side.btf.skipModifiersAndTypedefs(id))
  const [ra, rb] = [skip(a, a.proto.returnType), skip(b, b.proto.returnType)]
  if (ra.kind !== rb.kind) {
    invalid(`Return type ${kindWord(ra)} of ${a.name}() doesn't match type ${kindWord(rb)} of ${b.name}()`)
  }
  a.proto.params.forEach((param, i) => {
    const [ta, tb] = [skip(a, param.type), skip(b, b.proto.params[i]?.type ?? 0)]
    if (ta.kind !== tb.kind) {
      invalid(`arg${i} in ${a.name}() is ${kindWord(ta)} while ${b.name}() has ${kindWord(tb)}`)
    }
    if (ta.kind !== BtfKind.PTR || tb.kind !== BtfKind.PTR) {
      const [sa, sb] = [a.btf.sizeOf(ta.id), b.btf.sizeOf(tb.id)]
      if (sa !== sb) invalid(`arg${i} in ${a.name}() has size ${sa} while ${b.name}() has ${sb}`)
      const isNumber = ta.kind === BtfKind.INT || ta.kind === BtfKind.ENUM || ta.kind === BtfKind.ENUM64
      return isNumber ? undefined : invalid(`arg${i} in ${a.name}() has unrecognized type`)
    }
    const [pa, pb] = [skip(a, ta.type), skip(b, tb.type)]
    if (pa.kind !== BtfKind.STRUCT) invalid(`arg${i} in ${a.name}() is not a pointer to context`)
    if (pb.kind !== BtfKind.STRUCT) invalid(`arg${i} in ${b.name}() is not a pointer to context`)
    if (pa.name !== pb.name) {
      invalid(`arg${i} ${a.name}(struct ${pa.name} *) doesn't match ${b.name}(struct ${pb.name} *)`)
    }
    return undefined
  })
}

const MAX_ARGUMENTS = 12

/** Functions with arguments that a trampoline cannot pass on. */
function checkModel(btf: Btf, proto: BtfFuncProto, name: string): void {
  const { params } = proto
  if (params.length > MAX_ARGUMENTS) invalid(`The function ${name} has ${params.length} arguments. Too many.`)
  params.forEach((param, i) => {
    const type = btf.type(btf.skipModifiersAndTypedefs(param.type))
    const isVariadic = i === params.length - 1 && param.type === 0
    if (isVariadic) invalid(`The function ${name} with variable args is unsupported.`)
    const size = argumentSize(btf, type.id)
    if (size === null || size > 16) invalid(`The function ${name} arg${i} type ${kindWord(type)} is unsupported.`)
    if (size === 0) invalid(`The function ${name} has malformed void argument.`)
  })
  const returned = btf.type(btf.skipModifiersAndTypedefs(proto.returnType))
  if (returned.kind !== BtfKind.VOID && argumentSize(btf, returned.id) === null) {
    invalid(`The function ${name} return type ${kindWord(returned)} is unsupported.`)
  }
}

function argumentSize(btf: Btf, id: number): number | null {
  const type = btf.type(id)
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others cannot be passed
  switch (type.kind) {
    case BtfKind.VOID:
      return 0
    case BtfKind.INT:
    case BtfKind.ENUM:
    case BtfKind.ENUM64:
    case BtfKind.STRUCT:
    case BtfKind.PTR:
      return btf.sizeOf(id)
    default:
      return null
  }
}

function structOpsTarget(request: TargetRequest): AttachTarget {
  const { program, kernelBtf: btf, gpl, sleepable } = request
  if (!gpl) invalid('struct ops programs must have a GPL compatible license')
  const { structOps } = program
  if (btf === null) return unsupported('struct_ops programs without kernel BTF')
  if (structOps === undefined) throw new Reject('ENOTSUPP', 'attach_btf_id 0 is not a supported struct')
  if (structOps.module !== null) return unsupported('struct_ops programs of modules')
  const type = btf.type(structOps.typeId)
  const row = STRUCT_OPS[type.name]
  if (type.kind !== BtfKind.STRUCT || row === undefined) {
    throw new Reject('ENOTSUPP', `attach_btf_id ${structOps.typeId} is not a supported struct`)
  }
  const { member: index } = structOps
  const member = type.members[index]
  if (member === undefined) return invalid(`attach to invalid member idx ${index} of struct ${type.name}`)
  const pointer = btf.type(btf.skipModifiersAndTypedefs(member.type))
  const proto = pointer.kind === BtfKind.PTR ? btf.type(btf.skipModifiersAndTypedefs(pointer.type)) : pointer
  if (proto.kind !== BtfKind.FUNC_PROTO) {
    return invalid(`attach to invalid member ${member.name}(@idx ${index}) of struct ${type.name}`)
  }
  const refuse = (errno: 'ENOTSUPP' | 'EINVAL'): never => {
    throw new Reject(errno, `attach to unsupported member ${member.name} of struct ${type.name}`)
  }
  if (row.members?.has(member.name) === false) refuse('ENOTSUPP')
  if (sleepable && row.sleepable?.has(member.name) === false) refuse('EINVAL')
  return {
    ...PLAIN,
    name: member.name,
    btf,
    proto,
    skip: 0,
    trusted: true,
    structOps: { row, struct: type.name, member: member.name },
    ...stubMarks(btf, `${type.name}__${member.name}`),
  }
}

/** Arguments that the kernel marks by the names of a function that stands for the member. */
function stubMarks(btf: Btf, stub: string): { nullable: ReadonlySet<number>; refs: ReadonlySet<number> } {
  const nullable = new Set<number>()
  const refs = new Set<number>()
  const btfId = btf.findByName(stub, BtfKind.FUNC)
  const proto = btfId === undefined ? null : prototypeOf(btf, { btfId })
  proto?.params.forEach((param, i) => {
    if (param.name.endsWith('__nullable')) nullable.add(i)
    if (param.name.endsWith('__ref')) refs.add(i)
  })
  return { nullable, refs }
}
