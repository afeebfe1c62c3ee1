import { isConst, valueOf } from '../domain/bounds.ts'
import type { FieldKind } from '../facts/fields.ts'
import { invalid } from '../reject.ts'
import type { Reg } from '../state/register.ts'

/** A pointer to the one timer, work queue or work for a task in a map's value. */
export function checkMapField(reg: Reg, regno: number, kind: FieldKind): void {
  const { map } = reg
  if (!isConst(reg.value)) {
    invalid(`R${regno} doesn't have constant offset. ${kind} has to be at the constant offset`)
  }
  if (map === null || map.btf === null || map.valueTypeId === 0) {
    return invalid(`map '${map?.name}' has to have BTF in order to use ${kind}`)
  }
  const field = map.fields.find((f) => f.kind === kind)
  if (field === undefined) return invalid(`map '${map.name}' has no valid ${kind}`)
  const at = valueOf(reg.value) + reg.off
  if (at !== field.offset) invalid(`off ${at} doesn't point to 'struct ${kind}' that is at ${field.offset}`)
}
