import { LdImm64Pseudo } from '../../../isa/index.ts'
import { HELPERS } from '../../../uapi/index.ts'
import { CHANGES_PACKET } from '../calls/helper.ts'
import { type KfuncFlag, KFUNCS } from '../facts/kfuncs.ts'
import type { ProgramFacts } from '../walk.ts'

/** Which functions of a program, by index, do something themselves or in what they call. */
export interface Effects {
  /** May move the packet. */
  readonly packetChangers: ReadonlySet<number>
  /** May sleep. */
  readonly sleepers: ReadonlySet<number>
}

/** Takes functions whose address a function loads, such as callbacks, for called by it, as the kernel does. */
export function effectsOf(facts: Pick<ProgramFacts, 'ops' | 'kfuncs' | 'subprograms'>): Effects {
  return {
    packetChangers: spread(facts, 'packet', (helper) => CHANGES_PACKET.has(helper)),
    sleepers: spread(facts, 'sleepable', (helper) => HELPERS[helper - 1]?.mightSleep === true),
  }
}

function spread(
  { ops, kfuncs, subprograms }: Pick<ProgramFacts, 'ops' | 'kfuncs' | 'subprograms'>,
  flag: KfuncFlag,
  hasHelper: (id: number) => boolean,
): ReadonlySet<number> {
  const found = new Set<number>()
  const at = (start: number): number => subprograms.find((sub) => sub.start === start)?.index ?? -1
  const has = (slot: number): boolean => {
    const op = ops[slot]
    if (op?.kind === 'loadImm64') return op.pseudo === LdImm64Pseudo.FUNC && found.has(at(slot + 1 + op.low))
    if (op?.kind !== 'call') return false
    if (op.call === 'local') return found.has(at(op.target))
    if (op.call === 'helper') return hasHelper(op.imm)
    const name = kfuncs.get(slot)?.name
    return name !== undefined && KFUNCS[name]?.flags.includes(flag) === true
  }
  for (let grown = true; grown;) {
    grown = false
    for (const { index, start, end } of subprograms) {
      if (found.has(index)) continue
      for (let slot = start; slot < end && !found.has(index); slot++) {
        if (!has(slot)) continue
        found.add(index)
        grown = true
      }
    }
  }
  return found
}
