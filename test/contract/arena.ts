import { describe, expect, it } from 'vitest'
import { assemble } from '../../src/isa/index.ts'
import type { BackendProgram, LateReference } from '../../src/loader/index.ts'
import { MapFlag, MapType, ProgFlag, ProgType } from '../../src/uapi/index.ts'
import { program, readU64, u64 } from '../support/program.ts'
import type { Harness } from './harness.ts'

const PAGE = 4096

/**
 * A syscall program over an arena of two pages, of which the first one is there (it has variables) and the second is not.
 * r6 points to the first one as programs access it; results go to r9 + 8 and so on, of which there are eight.
 */
function arenaProgram(harness: Harness, text: string): BackendProgram {
  const contents = new Uint8Array(PAGE)
  contents.set(u64(0x1122334455667788n), PAGE - 8)
  const arena = harness.map(MapType.ARENA, 0, 0, 2, { flags: MapFlag.MMAPABLE, contents })
  const insns = assemble(`
    r9 = r1
    r6 = 0 ll
    r6 = addr_space_cast(r6, 0, 1)
    ${text}
    r0 = 0
    exit`)
  insns.src[1] = 2
  const lateReferences: LateReference[] = [{ kind: 'mapValue', insn: 1, map: 'arena', offset: 0 }]
  const empty = program('arena', ProgType.SYSCALL, [])
  const sleepable = { ...empty.spec, flags: ProgFlag.SLEEPABLE }
  return harness.load({ ...empty, spec: sleepable, insns, lateReferences }, { arena })
}

/** What programs find in an arena's pages, and where there are none. */
export function arenaContract(harness: Harness): void {
  const results = (text: string): (bigint | null)[] => {
    const { ctx } = arenaProgram(harness, text).run({ ctx: new Uint8Array(64).fill(0xee) })
    return [0, 1, 2, 3].map((i) => readU64(ctx!.subarray(i * 8)))
  }
  const UNTOUCHED = 0xeeeeeeeeeeeeeeeen

  describe('arena', () => {
    it('keeps what is written to its pages', () => {
      const text = `*(u32 *)(r6 + 4000) = 77
        r1 = *(u32 *)(r6 + 4000)
        *(u64 *)(r9 + 0) = r1
        r1 = *(u64 *)(r6 + 4088)
        *(u64 *)(r9 + 8) = r1`
      expect(results(text)).toEqual([77n, 0x1122334455667788n, UNTOUCHED, UNTOUCHED])
    })

    it.each(['r6 += 4096', 'r6 += 8192', 'r6 += -4096'])('has nothing in pages that are not there: %s', (move) => {
      const text = `${move}
        *(u32 *)(r6 + 8) = 77
        r2 = 55
        *(u64 *)(r6 + 16) = r2
        r1 = *(u32 *)(r6 + 8)
        *(u64 *)(r9 + 0) = r1
        r1 = *(u64 *)(r6 + 16)
        *(u64 *)(r9 + 8) = r1
        r1 = *(u8 *)(r6 + 8)
        *(u64 *)(r9 + 16) = r1
        r1 = *(u64 *)(r6 + 100)
        *(u64 *)(r9 + 24) = r1`
      expect(results(text)).toEqual([0n, 0n, 0n, 0n])
    })

    it('leaves registers alone when atomic operations meet no page', () => {
      const text = `r6 += 4096
        r1 = 7
        lock *(u64 *)(r6 + 0) += r1
        r2 = 8
        r2 = atomic64_fetch_add((u64 *)(r6 + 0), r2)
        *(u64 *)(r9 + 0) = r2
        r3 = 9
        r3 = atomic64_xchg((u64 *)(r6 + 0), r3)
        *(u64 *)(r9 + 8) = r3
        r0 = 10
        r4 = 11
        r0 = atomic64_cmpxchg((u64 *)(r6 + 0), r0, r4)
        *(u64 *)(r9 + 16) = r0
        r1 = *(u64 *)(r6 + 0)
        *(u64 *)(r9 + 24) = r1`
      expect(results(text)).toEqual([8n, 9n, 10n, 0n])
    })

    it('leaves the register of a load-acquire alone that meets no page', () => {
      const text = `r6 += 4096
        r1 = 7
        store_release((u64 *)(r6 + 0), r1)
        r2 = 8
        r2 = load_acquire((u64 *)(r6 + 0))
        *(u64 *)(r9 + 0) = r2
        r1 = *(u64 *)(r6 + 0)
        *(u64 *)(r9 + 8) = r1`
      expect(results(text)).toEqual([8n, 0n, UNTOUCHED, UNTOUCHED])
    })

    it('writes nothing when part of what is written has no page', () => {
      const text = `r1 = -1
        *(u64 *)(r6 + 4092) = r1
        r1 = *(u64 *)(r6 + 4088)
        *(u64 *)(r9 + 0) = r1
        r1 = *(u64 *)(r6 + 4096)
        *(u64 *)(r9 + 8) = r1
        r1 = *(u64 *)(r6 + 4092)
        *(u64 *)(r9 + 16) = r1`
      expect(results(text)).toEqual([0x1122334455667788n, 0n, 0n, UNTOUCHED])
    })
  })
}
