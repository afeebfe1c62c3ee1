import { describe, expect, it } from 'vitest'
import {
  Btf,
  BtfBuilder,
  BtfKind,
  dedup,
  dedupTypes,
  dumpRaw,
  remapTypeIds,
  type BtfMember,
} from '../../../src/btf/index.ts'
import { parseElf } from '../../../src/elf/index.ts'
import { loadFixture } from '../../support/fixture.ts'
import { thrown } from '../../support/thrown.ts'

class Types extends BtfBuilder {
  int(name: string = 'int'): number {
    return this.addInt(name, 4, true)
  }
  pointer(type: number): number {
    return this.add({ kind: BtfKind.PTR, type })
  }
  forward(name: string, union: boolean = false): number {
    return this.add({ kind: BtfKind.FWD, name, union })
  }
  struct(name: string, ...members: readonly (readonly [string, number])[]): number {
    const list = members.map(([member, type], i): BtfMember => ({ name: member, type, bitOffset: i * 64, bitSize: 0 }))
    return this.add({ kind: BtfKind.STRUCT, name, size: members.length * 8, members: list })
  }
  enumeration(name: string, ...values: readonly string[]): number {
    const list = values.map((value, i) => ({ name: value, value: BigInt(i) }))
    return this.add({ kind: BtfKind.ENUM, name, size: 4, signed: false, values: list })
  }
  /** Raw dump after dedup, a line a type or member. */
  dedup(): string[] {
    return dumpRaw(Btf.parse(dedup(this.toBtf()), this.base === null ? {} : { base: this.base }))
      .trimEnd()
      .split('\n')
  }
}

describe('dedup', () => {
  it('joins equal integers and what refers to them', () => {
    const types = new Types()
    for (let i = 0; i < 3; i++) types.pointer(types.int())
    types.int('other')
    expect(types.dedup()).toEqual([
      "[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED",
      "[2] PTR '(anon)' type_id=1",
      "[3] INT 'other' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED",
    ])
  })

  it('joins structs that refer to themselves', () => {
    const types = new Types()
    for (let i = 0; i < 2; i++) {
      const pointer = types.pointer(types.typeCount + 1)
      types.struct('node', ['next', pointer])
    }
    expect(types.dedup()).toEqual([
      "[1] PTR '(anon)' type_id=2",
      "[2] STRUCT 'node' size=8 vlen=1",
      "\t'next' type_id=1 bits_offset=0",
    ])
  })

  it('keeps structs apart that differ only far below', () => {
    const types = new Types()
    for (const name of ['int', 'long']) {
      const inner = types.struct('inner', ['value', types.int(name)])
      types.struct('outer', ['inner', types.pointer(inner)])
    }
    expect(types.dedup().filter((line) => line.includes('STRUCT'))).toHaveLength(4)
  })

  it('resolves forward declarations by comparing structs', () => {
    // Two units, each with one of the two structs in full.
    const types = new Types()
    const int = types.int()
    const forwardB = types.forward('b')
    types.struct('a', ['value', int], ['b', types.pointer(forwardB)])
    types.struct('b', ['other', int])
    const again = types.struct('b', ['other', int])
    types.struct('a', ['value', int], ['b', types.pointer(again)])
    const lines = types.dedup()
    expect(lines.filter((line) => line.includes('FWD'))).toEqual([])
    expect(lines.filter((line) => line.includes('STRUCT'))).toHaveLength(2)
  })

  it('resolves a forward declaration that is met nowhere else, when its name is unique', () => {
    const types = new Types()
    types.pointer(types.forward('foo'))
    types.pointer(types.struct('foo', ['x', types.int()]))
    expect(types.dedup().filter((line) => /FWD|PTR/.test(line))).toEqual(["[1] PTR '(anon)' type_id=3"])
  })

  it('leaves ambiguous forward declarations, and those of the other kind', () => {
    const types = new Types()
    types.pointer(types.forward('foo'))
    types.struct('foo', ['x', types.int()])
    types.struct('foo', ['y', types.int()])
    types.pointer(types.forward('bar', true))
    types.struct('bar')
    expect(types.dedup().filter((line) => line.includes('FWD'))).toHaveLength(2)
  })

  it('gives forward declared enums their values', () => {
    const types = new Types()
    types.pointer(types.enumeration('mode'))
    types.pointer(types.enumeration('mode', 'ON', 'OFF'))
    types.pointer(types.enumeration('mode'))
    const lines = types.dedup()
    expect(lines.filter((line) => line.includes('ENUM'))).toEqual(["[2] ENUM 'mode' encoding=UNSIGNED size=4 vlen=2"])
    expect(lines.filter((line) => line.includes('PTR'))).toEqual(["[1] PTR '(anon)' type_id=2"])
  })

  it('keeps variables and data sections', () => {
    const types = new Types()
    for (let i = 0; i < 2; i++) {
      const variable = types.add({ kind: BtfKind.VAR, name: 'x', type: types.int(), linkage: 0 })
      types.add({ kind: BtfKind.DATASEC, name: '.data', size: 4, vars: [{ type: variable, offset: 0, size: 4 }] })
    }
    expect(types.dedup()).toEqual([
      "[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED",
      "[2] VAR 'x' type_id=1, linkage=static",
      "[3] DATASEC '.data' size=4 vlen=1",
      "\ttype_id=2 offset=0 size=4 (VAR 'x')",
      "[4] VAR 'x' type_id=1, linkage=static",
      "[5] DATASEC '.data' size=4 vlen=1",
      "\ttype_id=4 offset=0 size=4 (VAR 'x')",
    ])
  })

  it('refers split BTF to its base', () => {
    const base = new Types()
    base.struct('shared', ['x', base.int()])
    const split = new Types({ base: base.toBtf() })
    const shared = split.struct('shared', ['x', split.int()])
    split.struct('own', ['shared', split.pointer(shared)])
    expect(split.dedup()).toEqual([
      "[3] PTR '(anon)' type_id=2",
      "[4] STRUCT 'own' size=8 vlen=1",
      "\t'shared' type_id=3 bits_offset=0",
    ])
  })

  it('says what became of each type', () => {
    const types = new Types()
    const first = types.int()
    const pointer = types.pointer(types.int())
    const { newIds } = dedupTypes(types.toBtf())
    expect([newIds[0], newIds[first], newIds[2], newIds[pointer]]).toEqual([0, 1, 1, 2])
  })

  it('finds every type of an object again in its copy', async () => {
    for (const name of ['btf_kinds', 'core_kinds', 'execsnoop']) {
      const section = parseElf(await loadFixture(`fixtures/clang19/${name}.bpf.o`)).sectionByName('.BTF')
      const btf = Btf.parse(section?.data ?? new Uint8Array(0))
      const once = Btf.parse(dedup(btf))
      expect(dumpRaw(Btf.parse(dedup(once)))).toBe(dumpRaw(once))
      const twice = BtfBuilder.from(btf)
      const shift = btf.typeCount - 1
      let kept = 0
      for (const type of btf.types()) {
        if (type.kind === BtfKind.VAR || type.kind === BtfKind.DATASEC) kept++
        twice.add(remapTypeIds(type, (id) => (id === 0 ? 0 : id + shift)))
      }
      const tagged = [...btf.types()].filter(
        (type) => type.kind === BtfKind.DECL_TAG && btf.kind(type.type) === BtfKind.VAR,
      )
      expect(Btf.parse(dedup(twice.toBtf())).typeCount).toBe(once.typeCount + kept + tagged.length)
    }
  })

  it('refuses references in a circle, and walks deep ones', () => {
    const circle = new Types()
    circle.pointer(2)
    circle.pointer(1)
    expect(thrown(() => dedup(circle.toBtf())).code).toBe('malformed')
    const deep = new Types()
    let id = deep.int()
    for (let i = 0; i < 50_000; i++) id = deep.pointer(id)
    deep.struct('deep', ['x', id])
    expect(Btf.parse(dedup(deep.toBtf())).typeCount).toBe(50_003)
    const inside = new Types()
    for (let i = 1; i <= 4; i++) inside.struct('itself', ['a', i], ['b', (i % 4) + 1])
    expect(Btf.parse(dedup(inside.toBtf())).typeCount).toBeGreaterThan(1)
  })
})
