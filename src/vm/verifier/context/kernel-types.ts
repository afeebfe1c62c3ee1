import { BtfKind } from '../../../btf/index.ts'
import { ProgType } from '../../../uapi/index.ts'
import { invalid, unsupported } from '../reject.ts'
import type { Walk } from '../walk.ts'

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(ProgType).map(([name, type]) => [type, name]))

/**
 * The kernel's structure behind the contexts of a program type. Its BTF tells (struct bpf_ctx_convert, which
 * kernel/bpf/btf.c makes for this).
 */
export function kernelContext(walk: Walk, type: number): number {
  const btf = walk.facts.kernelBtf
  const pairs = btf?.type(btf.findByName('bpf_ctx_convert', BtfKind.STRUCT) ?? 0)
  const members = pairs?.kind === BtfKind.STRUCT ? pairs.members : []
  const member = members.find(({ name }) => name === `BPF_PROG_TYPE_${NAMES.get(type)}_kern`)
  if (btf === null || member === undefined) return unsupported('the kernel type of this context')
  if (btf.type(member.type).kind !== BtfKind.STRUCT) invalid(`kern ctx type id ${member.type} is not a struct`)
  return member.type
}
