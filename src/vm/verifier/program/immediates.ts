import { type InsnBuffer, LdImm64Pseudo } from '../../../isa/index.ts'
import { MapType } from '../../../uapi/index.ts'
import type { MapFacts } from '../facts/maps.ts'
import { MAX_OFFSET } from '../memory/region.ts'
import { invalid } from '../reject.ts'

/** Opcode of ld_imm64. */
const LOAD = 0x18
/** Map types whose values have an address that a program may contain. */
const DIRECT: ReadonlySet<number> = new Set<number>([MapType.ARRAY, MapType.ARENA])

/** An address inside of a map's value, as part of the program. */
export function checkDirectValue(map: MapFacts, offset: number): void {
  const off = offset >>> 0
  if (off >= MAX_OFFSET) invalid(`direct value offset of ${off} is not allowed`)
  if (!DIRECT.has(map.type)) invalid('no direct value access support for this map type')
  if (map.type !== MapType.ARRAY) return
  if (map.maxEntries !== 1 || off >= map.valueSize) {
    invalid(`invalid access to map value pointer, value_size=${map.valueSize} off=${off}`)
  }
}

/** Numbers of file descriptors that stand for no map of the program. */
export function checkDescriptors(insns: InsnBuffer, known: ReadonlyMap<number, unknown>): void {
  for (let i = 0; i < insns.length; i++) {
    if (insns.code[i] !== LOAD) continue
    const isMap = insns.src[i] === LdImm64Pseudo.MAP_FD || insns.src[i] === LdImm64Pseudo.MAP_VALUE
    if (isMap && !known.has(i)) invalid(`fd ${insns.imm[i]} is not pointing to valid bpf_map`)
    i++
  }
}
