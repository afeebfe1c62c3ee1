import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Btf, BtfBuilder, BtfKind, dedup } from '../../../src/btf/index.ts'
import { isBpfError } from '../../../src/errors.ts'
import { generateSkeleton, linkObjects, minCoreBtf, openObject, readCoreObject } from '../../../src/loader/index.ts'
import { loadFixture } from '../../support/fixture.ts'
import { mutate, mutationRuns } from '../../support/mutate.ts'

const FIXTURES = [
  'clang14/load_balancer',
  'clang19/externs',
  'clang19-eb/map_in_map',
  'clang19/core_kinds',
  'clang19/globals',
]

/** Runs it; counts a success, and lets only BpfErrors pass. */
function survives(work: () => unknown): number {
  try {
    work()
    return 1
  } catch (error) {
    if (!isBpfError(error)) throw error
    return 0
  }
}

describe('object tools on damaged objects', () => {
  it('give a result or a BpfError', async () => {
    const originals = await Promise.all(FIXTURES.map((name) => loadFixture(`fixtures/${name}.bpf.o`)))
    const kernel = openObject(await loadFixture('fixtures/clang19/btf_kinds.bpf.o')).btf
    if (kernel === null) throw new Error('no BTF')
    const worked = { link: 0, linkBefore: 0, skeleton: 0, minCore: 0, dedup: 0 }
    fc.assert(
      fc.property(fc.nat(originals.length - 1), fc.nat(), (index, seed) => {
        const original = originals[index] as Uint8Array
        const damaged = { name: 'damaged.o', bytes: mutate(original, seed) }
        worked.link += survives(() => linkObjects([damaged]))
        worked.linkBefore += survives(() => linkObjects([damaged, { name: 'whole.o', bytes: original }]))
        worked.skeleton += survives(() => generateSkeleton(openObject(damaged.bytes), { object: './damaged.o' }))
        worked.minCore += survives(() => minCoreBtf([readCoreObject(damaged.bytes, damaged.name)], kernel))
        worked.dedup += survives(() => dedup(readCoreObject(damaged.bytes, damaged.name).btf ?? kernel))
      }),
      { numRuns: mutationRuns(400) },
    )
    expect(Math.min(worked.link, worked.skeleton, worked.minCore, worked.dedup)).toBeGreaterThan(0)
  })

  it('survives damaged types', () => {
    const builder = new BtfBuilder()
    for (let i = 0; i < 40; i++) {
      builder.add({ kind: BtfKind.PTR, type: (i * 7) % 80 })
      const members = [
        { name: 'a', type: (i * 11) % 80, bitOffset: 0, bitSize: 0 },
        { name: 'b', type: (i * 5) % 80, bitOffset: 64, bitSize: 0 },
      ]
      builder.add({ kind: BtfKind.STRUCT, name: `s${i % 3}`, size: 16, members })
    }
    const original = builder.build()
    let worked = 0
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        worked += survives(() => dedup(Btf.parse(mutate(original, seed))))
      }),
      { numRuns: mutationRuns(400) },
    )
    expect(worked).toBeGreaterThan(0)
  })

  it('ends soon on types that all look alike', () => {
    const builder = new BtfBuilder()
    for (let i = 0; i < 20_000; i++) {
      const members = [{ name: 'a', type: i + 1, bitOffset: 0, bitSize: 0 }]
      builder.add({ kind: BtfKind.STRUCT, name: 's', size: 8, members })
      builder.add({ kind: BtfKind.ENUM, size: 4, signed: false, values: [{ name: 'A', value: BigInt(i) }] })
    }
    const started = performance.now()
    survives(() => dedup(builder.toBtf()))
    expect(performance.now() - started).toBeLessThan(25_000)
  })
})
