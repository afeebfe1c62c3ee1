import { BpfError, type BpfErrorWhere } from '../bytes/index.ts'
import { Btf, BtfKind } from '../btf/index.ts'
import type { ProgramSpec, StructOpsAttach } from '../loader/index.ts'
import { AttachType, ProgType } from '../uapi/index.ts'
import { moduleBtf, vmlinuxBtf } from './kernel-btf.ts'
import { programFd } from './links/link.ts'
import { btfBytes, openById, progInfo } from './objects.ts'
import { closeFd } from './syscall.ts'

/** What a program of a type with ATTACH_BTF is verified against. */
export interface AttachTarget {
  /** Id in the BTF of `module`, or of vmlinux when that is null. */
  readonly btfId: number
  readonly module: string | null
  /** Descriptor of the program whose function it is; null for functions of the kernel. */
  readonly programFd: number | null
}

interface TargetRule {
  readonly prefix: string
  readonly kind: BtfKind
  /** What such a thing is called in messages. */
  readonly what: string
}

const FUNCTION: TargetRule = { prefix: '', kind: BtfKind.FUNC, what: 'function' }
const LSM_HOOK: TargetRule = { prefix: 'bpf_lsm_', kind: BtfKind.FUNC, what: 'LSM hook' }

/** How the kernel's BTF names the targets of an attach type (libbpf's rules); the others attach to functions. */
const RULES: ReadonlyMap<number | null, TargetRule> = new Map([
  [AttachType.TRACE_RAW_TP, { prefix: 'btf_trace_', kind: BtfKind.TYPEDEF, what: 'tracepoint' }],
  [AttachType.TRACE_ITER, { prefix: 'bpf_iter_', kind: BtfKind.FUNC, what: 'iterator' }],
  [AttachType.LSM_MAC, LSM_HOOK],
  [AttachType.LSM_CGROUP, LSM_HOOK],
])

/** Whether programs of an attach type trace many functions. */
export function isMultiTrace(attachType: number | null): boolean {
  return (
    attachType === AttachType.TRACE_FENTRY_MULTI ||
    attachType === AttachType.TRACE_FEXIT_MULTI ||
    attachType === AttachType.TRACE_FSESSION_MULTI
  )
}

/**
 * The kernel function or tracepoint that a program names in its section ("fentry/tcp_v4_connect", "tp_btf/sched_switch",
 * "fentry/module:function"); null for types that have none.
 * @throws BpfError `not-found`, `unsupported`
 */
export function findAttachTarget(spec: ProgramSpec, structOps?: StructOpsAttach): AttachTarget | null {
  if (spec.type === ProgType.STRUCT_OPS) {
    if (structOps !== undefined) return { btfId: structOps.typeId, module: structOps.module, programFd: null }
    throw new BpfError('usage', 'no struct_ops variable that is created names this program', {
      where: { program: spec.name, section: spec.section },
    })
  }
  // Their functions are chosen when they are attached.
  if (isMultiTrace(spec.attachType)) return null
  const byBtf = spec.type === ProgType.TRACING || spec.type === ProgType.LSM || spec.type === ProgType.EXT
  if (!byBtf) return null
  const where = { program: spec.name, section: spec.section }
  if (spec.type === ProgType.EXT && spec.attachProgram === undefined) {
    throw new BpfError('usage', 'freplace needs the program that it replaces: set attachProgram in its spec', { where })
  }
  const target = spec.attachTarget
  if (target === null || target === '') {
    throw new BpfError('usage', `section "${spec.section}" does not say which kernel function or tracepoint`, { where })
  }
  if (spec.attachProgram !== undefined) return functionOf(programFd(spec.attachProgram), target, where)
  const colon = target.indexOf(':')
  const module = colon > 0 ? target.slice(0, colon) : null
  const rule = RULES.get(spec.attachType) ?? FUNCTION
  const name = module === null ? target : target.slice(colon + 1)
  const btf = module === null || module === 'vmlinux' ? vmlinuxBtf() : moduleBtf(module)
  if (btf === null) {
    throw new BpfError('not-found', `no BTF of ${module ?? 'vmlinux'} to look up "${target}" in`, { where })
  }
  const btfId = btf.findByName(rule.prefix + name, rule.kind)
  if (btfId === undefined) {
    throw new BpfError('not-found', `the kernel has no ${rule.what} "${name}" in its BTF`, { where })
  }
  return { btfId, module: btf.base === null ? null : module, programFd: null }
}

/** A function of a loaded program, by the BTF that it was loaded with. */
function functionOf(fd: number, name: string, where: BpfErrorWhere): AttachTarget {
  const { btfId: objectId } = progInfo(fd)
  if (objectId === 0) throw new BpfError('unsupported', 'the program to attach to was loaded without BTF', { where })
  const btfFd = openById('btf', objectId)
  let btf: Btf
  try {
    btf = Btf.parse(btfBytes(btfFd), { name: `BTF ${objectId}` })
  } finally {
    closeFd(btfFd)
  }
  const btfId = btf.findByName(name, BtfKind.FUNC)
  if (btfId === undefined) {
    throw new BpfError('not-found', `the program to attach to has no function "${name}" in its BTF`, { where })
  }
  return { btfId, module: null, programFd: fd }
}
