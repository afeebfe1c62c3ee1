import { BtfKind } from '../../../btf/index.ts'
import { progTypeName } from '../../../uapi/index.ts'
import { invalid, unsupported } from '../reject.ts'
import type { Walk } from '../walk.ts'

/**
 * The kernel's structure behind the contexts of a program type. Its BTF tells (struct bpf_ctx_convert, which
 * kernel/bpf/btf.c makes for this).
 */
export function kernelContext(walk: Walk, type: number): number {
  const btf = walk.facts.kernelBtf
  const pairs = btf?.type(btf.findByName('bpf_ctx_convert', BtfKind.STRUCT) ?? 0)
  const members = pairs?.kind === BtfKind.STRUCT ? pairs.members : []
  const wanted = `BPF_PROG_TYPE_${progTypeName(type).toUpperCase()}_kern`
  const member = members.find(({ name }) => name === wanted)
  if (btf === null || member === undefined) return unsupported('the kernel type of this context')
  if (btf.type(member.type).kind !== BtfKind.STRUCT) invalid(`kern ctx type id ${member.type} is not a struct`)
  return member.type
}
