import { describe, expect, it } from 'vitest'
import { Btf, BtfBuilder, BtfKind, compileDecoder, readValue } from '../../src/btf/index.ts'
import { parseElf } from '../../src/elf/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { thrown } from '../support/thrown.ts'

const OBJECTS = ['execsnoop', 'block_latency', 'btf_kinds', 'load_balancer', 'maps_all', 'packet_counter', 'core_kinds']

async function btfOf(path: string): Promise<Btf> {
  const section = parseElf(await loadFixture(path)).sectionByName('.BTF')
  if (section === undefined) throw new Error(`${path} has no BTF`)
  return Btf.parse(section.data)
}

/** Bytes that look random and are the same every time. */
function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed + 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

describe('compiled decoders', () => {
  it.each(['clang19', 'clang14', 'clang19-eb'])(
    'read what readValue reads, for all types of %s objects',
    async (folder) => {
      let compared = 0
      for (const name of OBJECTS) {
        const btf = await btfOf(`fixtures/${folder}/${name}.bpf.o`)
        for (let id = 1; id < btf.typeCount; id++) {
          const kind = btf.kind(id)
          if (kind !== BtfKind.STRUCT && kind !== BtfKind.UNION && kind !== BtfKind.TYPEDEF) continue
          let size: number
          try {
            size = btf.sizeOf(id)
            readValue(btf, id, new Uint8Array(size + 40))
          } catch {
            continue
          }
          const decode = compileDecoder(btf, id)
          const chunk = noise(size + 56, id)
          for (const length of [size, size + 40]) {
            // On a multiple of 8, as in ring buffers, and elsewhere, as in perf buffers.
            for (const at of [8, 12, 15]) {
              expect(decode(chunk, at, length)).toStrictEqual(readValue(btf, id, chunk.subarray(at, at + length)))
              compared++
            }
          }
        }
      }
      expect(compared).toBeGreaterThan(100)
    },
  )

  it('says what is missing of a short record', async () => {
    const btf = await btfOf('fixtures/clang19/packet_counter.bpf.o')
    const id = [...btf.ids()].find((at) => btf.kind(at) === BtfKind.STRUCT && btf.sizeOf(at) >= 8) ?? 0
    const decode = compileDecoder(btf, id)
    expect(thrown(() => decode(new Uint8Array(64), 0, 4)).code).toBe('truncated')
    expect(() => decode(new Uint8Array(256), 0, 256)).not.toThrow()
  })

  it('gives a member called __proto__ as a member', () => {
    const builder = new BtfBuilder()
    const int = builder.addInt('int', 4, true)
    const id = builder.add({
      kind: BtfKind.STRUCT,
      name: 's',
      size: 4,
      kindFlag: false,
      members: [{ name: '__proto__', type: int, bitOffset: 0, bitSize: 0 }],
    })
    const btf = Btf.parse(builder.build())
    const value = compileDecoder(btf, id)(Uint8Array.of(5, 0, 0, 0), 0, 4)
    expect(Object.entries(value)).toEqual([['__proto__', 5]])
  })
})
