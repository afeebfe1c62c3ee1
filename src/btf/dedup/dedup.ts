import type { Btf } from '../btf.ts'
import { BtfBuilder, type BtfTypeSpec } from '../builder.ts'
import { remapTypeIds } from '../remap.ts'
import { BtfKind } from '../types.ts'
import { Candidates } from './candidates.ts'
import { CanonicalMap } from './canonical.ts'
import { GraphComparison } from './equivalence.ts'
import { Records } from './records.ts'
import { dedupReferences } from './references.ts'

/** What is left of a BTF after dedup. */
export interface DedupResult {
  /** The types that stay, in order, with the new ids in them. */
  readonly types: readonly BtfTypeSpec[]
  /** By old id: the id of the type that stands for it now. */
  readonly newIds: Uint32Array
}

/**
 * Removes types that are there more than once, as in the concatenated BTF of several objects, and resolves forward
 * declarations to the structs that they stand for. Variables and data sections stay as they are. The result is that of
 * libbpf's btf__dedup, type by type. Of split BTF the own types are changed, also to those of its base.
 * @returns a BTF blob
 * @throws BpfError `malformed` for references that go in a circle without a struct, `limit` for more comparisons than
 *   compilers' types need
 */
export function dedup(btf: Btf): Uint8Array {
  const builder = new BtfBuilder({ littleEndian: btf.littleEndian, ...(btf.base === null ? {} : { base: btf.base }) })
  for (const type of dedupTypes(btf).types) builder.add(type)
  return builder.build()
}

/** As {@link dedup}, before it is encoded, and with the new ids. */
export function dedupTypes(btf: Btf): DedupResult {
  const { firstId } = btf
  const records = new Records(btf)
  const map = new CanonicalMap(records.count)
  const candidates = new Candidates()
  for (let id = 1; id < records.count; id++) {
    const kind = records.kind(id)
    if (id < firstId || kind === BtfKind.VAR || kind === BtfKind.DATASEC) map.set(id, id)
    const isCandidate = id < firstId && kind !== BtfKind.VAR && kind !== BtfKind.DATASEC
    if (isCandidate) candidates.add(records.hash(id), id)
  }
  dedupPrimitives(records, map, candidates, firstId)
  dedupStructs(records, map, candidates, firstId)
  resolveForwards(records, map, firstId)
  dedupReferences(records, map, candidates, firstId)
  return compact(btf, map)
}

/** Integers, floats, enums and forward declarations refer to nothing: equal words are equal types. */
function dedupPrimitives(records: Records, map: CanonicalMap, candidates: Candidates, firstId: number): void {
  for (let id = firstId; id < records.count; id++) {
    const kind = records.kind(id)
    const isPrimitive = kind === BtfKind.INT || kind === BtfKind.FLOAT || kind === BtfKind.FWD || records.isAnyEnum(id)
    if (!isPrimitive) continue
    const hash = records.hash(id)
    const found = candidates.find(hash, (candidate) => standsFor(records, map, candidate, id))
    map.set(id, found ?? id)
    if (found === undefined) candidates.add(hash, id)
  }
}

/**
 * Whether a candidate is equal, or the enum that a forward declaration stands for. Declarations that stood alone until
 * now get this one.
 */
function standsFor(records: Records, map: CanonicalMap, candidate: number, id: number): boolean {
  if (records.areEqual(id, candidate)) return true
  if (!records.isAnyEnum(id) || !records.areCompatibleEnums(id, candidate)) return false
  if (records.isEnumForward(id)) return true
  map.set(candidate, id)
  return false
}

function dedupStructs(records: Records, map: CanonicalMap, candidates: Candidates, firstId: number): void {
  const comparison = new GraphComparison(records, map, firstId)
  for (let id = firstId; id < records.count; id++) {
    if (map.has(id) || !records.isComposite(id)) continue
    const hash = records.hash(id)
    const found = candidates.find(
      hash,
      (candidate) => records.areShallowEqualStructs(id, candidate) && comparison.compare(id, candidate),
    )
    map.set(id, found ?? id)
    if (found === undefined) candidates.add(hash, id)
  }
}

/** Forward declarations that no comparison met are those of the only struct or union of that name. */
function resolveForwards(records: Records, map: CanonicalMap, firstId: number): void {
  const byName = new Map<number, number | null>()
  for (let id = 1; id < records.count; id++) {
    if (!records.isComposite(id) || map.get(id) !== id) continue
    const name = records.word(id, 0)
    byName.set(name, byName.has(name) ? null : id)
  }
  for (let id = firstId; id < records.count; id++) {
    if (records.kind(id) !== BtfKind.FWD || map.get(id) !== id) continue
    const found = byName.get(records.word(id, 0)) ?? null
    const wanted = records.kindFlag(id) ? BtfKind.UNION : BtfKind.STRUCT
    if (found !== null && records.kind(found) === wanted) map.set(id, found)
  }
}

function compact(btf: Btf, map: CanonicalMap): DedupResult {
  const newIds = new Uint32Array(btf.typeCount)
  let next = btf.firstId
  for (let id = 0; id < btf.typeCount; id++) {
    if (id < btf.firstId) newIds[id] = id
    else if (map.get(id) === id) newIds[id] = next++
  }
  const types: BtfTypeSpec[] = []
  for (let id = btf.firstId; id < btf.typeCount; id++) {
    const canonical = map.resolve(id)
    if (canonical === id) types.push(remapTypeIds(btf.type(id), (old) => newIds[map.resolve(old)] as number))
    else newIds[id] = newIds[canonical] as number
  }
  return { types, newIds }
}
