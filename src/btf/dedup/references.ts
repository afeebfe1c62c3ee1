import { BpfError } from '../../bytes/index.ts'
import { BtfKind } from '../types.ts'
import type { Candidates } from './candidates.ts'
import type { CanonicalMap } from './canonical.ts'
import type { Records } from './records.ts'

/**
 * Finds the canonical types of pointers, typedefs, modifiers, arrays, functions and tags, once structs have theirs:
 * what they refer to first, then they themselves by equal words.
 * @throws BpfError `malformed` for references that go in a circle without a struct
 */
export function dedupReferences(records: Records, map: CanonicalMap, candidates: Candidates, firstId: number): void {
  const inProgress = new Set<number>()
  for (let root = firstId; root < records.count; root++) {
    const stack: { readonly id: number; readonly slots: readonly number[]; next: number }[] = []
    const enter = (id: number): void => {
      if (map.has(id)) return
      if (inProgress.has(id)) throw new BpfError('malformed', `type [${id}] refers to itself without a struct between`)
      inProgress.add(id)
      stack.push({ id, slots: referenceSlots(records, id), next: 0 })
    }
    enter(root)
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const slot = top.slots[top.next++]
      if (slot !== undefined) {
        enter(records.word(top.id, slot))
        continue
      }
      stack.pop()
      inProgress.delete(top.id)
      settle(records, map, candidates, top.id, top.slots)
    }
  }
}

function settle(
  records: Records,
  map: CanonicalMap,
  candidates: Candidates,
  id: number,
  slots: readonly number[],
): void {
  for (const slot of slots) records.setWord(id, slot, map.resolve(records.word(id, slot)))
  const hash = records.hash(id)
  const equal = candidates.find(hash, (candidate) => records.areEqual(id, candidate))
  map.set(id, equal ?? id)
  if (equal === undefined) candidates.add(hash, id)
}

/** Indices of the words that are type ids, in a record that is not a struct. */
function referenceSlots(records: Records, id: number): readonly number[] {
  switch (records.kind(id)) {
    case BtfKind.ARRAY:
      return [3, 4]
    case BtfKind.FUNC_PROTO:
      return [2, ...Array.from({ length: records.vlen(id) }, (_, i) => 4 + i * 2)]
    default:
      return [2]
  }
}
