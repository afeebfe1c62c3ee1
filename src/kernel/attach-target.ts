import { BpfError } from '../bytes/index.ts'
import { BtfKind } from '../btf/index.ts'
import type { ProgramSpec, StructOpsAttach } from '../loader/index.ts'
import { AttachType, ProgType } from '../uapi/index.ts'
import { moduleBtf, vmlinuxBtf } from './kernel-btf.ts'

/** What a program of a type with ATTACH_BTF is verified against. */
export interface AttachTarget {
  /** Id in the BTF of `module`, or of vmlinux when that is null. */
  readonly btfId: number
  readonly module: string | null
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

/**
 * The kernel function or tracepoint that a program names in its section ("fentry/tcp_v4_connect", "tp_btf/sched_switch",
 * "fentry/module:function"); null for types that have none.
 * @throws BpfError `not-found`, `unsupported`
 */
export function findAttachTarget(spec: ProgramSpec, structOps?: StructOpsAttach): AttachTarget | null {
  if (spec.type === ProgType.STRUCT_OPS) {
    if (structOps !== undefined) return { btfId: structOps.typeId, module: structOps.module }
    throw new BpfError('usage', 'no struct_ops variable that is created names this program', {
      where: { program: spec.name, section: spec.section },
    })
  }
  const byBtf = spec.type === ProgType.TRACING || spec.type === ProgType.LSM || spec.type === ProgType.EXT
  if (!byBtf) return null
  const where = { program: spec.name, section: spec.section }
  if (spec.type === ProgType.EXT) {
    throw new BpfError('unsupported', 'freplace needs the program that it replaces, which a load cannot name', {
      where,
    })
  }
  const target = spec.attachTarget
  if (target === null || target === '') {
    throw new BpfError('usage', `section "${spec.section}" does not say which kernel function or tracepoint`, { where })
  }
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
  return { btfId, module: btf.base === null ? null : module }
}
