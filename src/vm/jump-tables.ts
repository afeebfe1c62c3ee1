import type { InsnBuffer } from '../isa/index.ts'
import { mapSpec, type MapSpec } from '../loader/index.ts'
import { INSN_ARRAY } from '../uapi/index.ts'
import { findIndirectJumps, numberTargets, type IndirectJumps, type JumpTable } from './indirect.ts'
import { createVmMap } from './runtime/maps/create.ts'
import { INSN_VALUE_SIZE, InsnArrayMap } from './runtime/maps/insn-array.ts'
import type { MapHost } from './runtime/maps/map.ts'

/** The instruction arrays of one program while it is loaded: those of its object, and those for its jump tables. */
export class JumpTables {
  readonly #host: MapHost
  readonly #tables: JumpTable[] = []
  readonly #targets: Map<InsnArrayMap, readonly number[]> = new Map()
  readonly #taken: InsnArrayMap[] = []
  /** Made for the program alone, by their slots. */
  readonly #own: Map<string, InsnArrayMap> = new Map()

  constructor(host: MapHost) {
    this.#host = host
  }

  /** The immediate at a slot points into a map. */
  add(insn: number, map: InsnArrayMap): void {
    let targets = this.#targets.get(map)
    if (targets === undefined) this.#targets.set(map, (targets = map.targets))
    this.#tables.push({ insn, targets })
  }

  /** A frozen map of these slots for the immediate. */
  make(insn: number, targets: readonly number[]): InsnArrayMap {
    const key = targets.join()
    let map = this.#own.get(key)
    if (map === undefined) {
      map = createVmMap(this.#host, { spec: tableSpec(targets), name: 'jumptables', inner: null }) as InsnArrayMap
      map.freeze()
      this.#own.set(key, map)
    }
    this.add(insn, map)
    return map
  }

  /**
   * Takes the maps for the program and fills them in.
   * @throws BpfError `syscall` EINVAL for a map that is not frozen or names no instruction, EBUSY for another program's
   */
  resolve(insns: InsnBuffer, starts: readonly number[]): IndirectJumps {
    for (const map of this.#targets.keys()) {
      map.use(insns)
      this.#taken.push(map)
    }
    const numbers = new Map(numberTargets(this.#tables).map((slot, number) => [slot, number]))
    for (const map of this.#taken) map.resolve(numbers)
    return findIndirectJumps(insns, starts, this.#tables)
  }

  /** The program was not loaded: its maps may be used by another one. */
  giveBack(): void {
    for (const map of this.#taken) map.giveBack()
  }

  /** Leaves the maps that were made to the program, or to nobody. */
  close(): void {
    for (const map of this.#own.values()) map.close()
  }
}

function tableSpec(targets: readonly number[]): MapSpec {
  const contents = new Uint8Array(targets.length * INSN_VALUE_SIZE)
  const view = new DataView(contents.buffer)
  targets.forEach((slot, index) => view.setUint32(index * INSN_VALUE_SIZE, slot, true))
  return mapSpec({
    name: 'jumptables',
    type: INSN_ARRAY,
    keySize: 4,
    valueSize: INSN_VALUE_SIZE,
    maxEntries: targets.length,
    contents,
  })
}
