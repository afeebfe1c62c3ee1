import { describe, expect, test } from 'vitest'
import { Btf, BtfBuilder, BtfKind } from '../../src/btf/index.ts'
import { thrown } from '../support/thrown.ts'
import { addInts, btfOf, sectionOf } from './fixtures.ts'

describe('Btf.parse', () => {
  test('finds types by name and kind, the lowest id first', async () => {
    const btf = await btfOf('clang19/btf_kinds')
    const id = btf.findByName('node', BtfKind.STRUCT)
    expect(id).toBeDefined()
    expect(btf.type(id as number)).toMatchObject({ kind: BtfKind.STRUCT, name: 'node' })
    expect(btf.findByName('node', BtfKind.UNION)).toBeUndefined()
    expect(btf.findByName('no such type')).toBeUndefined()
    expect(btf.findByName('')).toBeUndefined()
    expect(btf.findByName('void')).toBe(0)
  })

  test('gives the same answers by scanning and by index', async () => {
    const scanned = await btfOf('clang19/btf_kinds')
    const indexed = await btfOf('clang19/btf_kinds')
    indexed.findAllByName('x')
    for (const type of scanned.types()) {
      if (type.name === '') continue
      const fresh = Btf.parse(scanned.bytes())
      expect(indexed.findByName(type.name, type.kind)).toBe(fresh.findByName(type.name, type.kind))
      expect(indexed.findAllByName(type.name)).toContain(type.id)
    }
  })

  test('reads big-endian objects to the same types', async () => {
    const little = await btfOf('clang19/btf_kinds')
    const big = await btfOf('clang19-eb/btf_kinds')
    expect(big.littleEndian).toBe(false)
    expect([...big.types()]).toEqual([...little.types()])
  })

  test('reads a blob at any alignment', async () => {
    const bytes = await sectionOf('clang19/btf_kinds', '.BTF')
    const shifted = new Uint8Array(bytes.length + 1)
    shifted.set(bytes, 1)
    expect([...Btf.parse(shifted.subarray(1)).types()]).toEqual([...Btf.parse(bytes).types()])
  })

  test('finds flavours by their essential name', () => {
    const builder = new BtfBuilder()
    const add = (name: string): number => builder.add({ kind: BtfKind.STRUCT, name, size: 0, members: [] })
    const plain = add('task_struct')
    const flavour = add('task_struct___v5')
    add('task_struct____x')
    add('task_struct_')
    const btf = builder.toBtf()
    expect(btf.findByEssentialName('task_struct')).toEqual([plain, flavour])
    expect(btf.findByName('task_struct___v5')).toBe(flavour)
    expect(btf.findAllByName('task_struct')).toEqual([plain])
  })

  test('goes on from a base: ids, strings, lookups', () => {
    const base = new BtfBuilder()
    const { int } = addInts(base)
    const baseBtf = base.toBtf()
    const module = new BtfBuilder({ base: baseBtf })
    const pointer = module.add({ kind: BtfKind.PTR, type: int })
    const named = module.add({ kind: BtfKind.TYPEDEF, name: 'handle_t', type: pointer })
    const btf = module.toBtf()
    expect(btf.firstId).toBe(baseBtf.typeCount)
    expect(btf.type(named)).toMatchObject({ name: 'handle_t', type: pointer })
    expect(btf.name(int)).toBe('int')
    for (let i = 0; i < 6; i++) {
      expect(btf.findByName('int')).toBe(int)
      expect(btf.findByName('handle_t')).toBe(named)
    }
    expect([...btf.ids()]).toEqual([pointer, named])
    expect(btf.sizeOf(named)).toBe(8)
  })

  test('errors name the wrong value and where it is', async () => {
    const bytes = await sectionOf('clang19/packet_counter', '.BTF')
    const damaged = (change: (view: DataView) => void): Uint8Array => {
      const copy = bytes.slice()
      change(new DataView(copy.buffer))
      return copy
    }
    const parse = (input: Uint8Array) => thrown(() => Btf.parse(input, { baseOffset: 0x1000 }))
    expect(parse(new Uint8Array(1))).toMatchObject({ code: 'truncated' })
    expect(parse(damaged((view) => view.setUint16(0, 0x1234, true)))).toMatchObject({
      code: 'malformed',
      message: expect.stringContaining('0x1234') as string,
      where: { offset: 0x1000 },
    })
    expect(parse(damaged((view) => view.setUint8(2, 7)))).toMatchObject({ code: 'unsupported' })
    expect(parse(damaged((view) => view.setUint32(12, 0x7fff_fff0, true)))).toMatchObject({ code: 'malformed' })
    // The first record's kind.
    expect(parse(damaged((view) => view.setUint32(24 + 4, 0x1f00_0000, true))).message).toContain('unknown kind 31')
    // The first record's name.
    const name = parse(damaged((view) => view.setUint32(24, 0xff_ffff, true)))
    expect(name.message).toContain('string offset 16777215')
    expect(name.where.offset).toBe(0x1000 + 24)
  })

  test('refuses ids that do not exist', async () => {
    const btf = await btfOf('clang19/packet_counter')
    for (const id of [-1, btf.typeCount, 1.5, NaN]) {
      expect(thrown(() => btf.type(id)).code).toBe('not-found')
      expect(thrown(() => btf.kind(id)).code).toBe('not-found')
    }
  })
})

describe('sizes', () => {
  test('follow modifiers, typedefs and arrays', async () => {
    const btf = await btfOf('clang19/btf_kinds')
    const variable = (name: string): number => btf.findByName(name, BtfKind.VAR) as number
    expect(btf.sizeOf(variable('array_many'))).toBe(24)
    expect(btf.sizeOf(variable('pointer_chain'))).toBe(8)
    expect(btf.sizeOf(btf.findByName('pair_t') as number)).toBe(8)
    expect(btf.alignOf(btf.findByName('node', BtfKind.STRUCT) as number)).toBe(8)
    expect(btf.alignOf(btf.findByName('packed_bits', BtfKind.STRUCT) as number)).toBe(1)
    expect(thrown(() => btf.sizeOf(0)).code).toBe('type-mismatch')
  })

  test('end for types that refer to themselves', () => {
    const builder = new BtfBuilder()
    const loop = builder.add({ kind: BtfKind.TYPEDEF, name: 'loop', type: 1 })
    const array = builder.add({ kind: BtfKind.ARRAY, elementType: 2, indexType: 2, length: 1 })
    const struct = builder.add({
      kind: BtfKind.STRUCT,
      name: 'self',
      size: 8,
      members: [{ name: 'me', type: 3, bitOffset: 0, bitSize: 0 }],
    })
    const btf = builder.toBtf()
    expect(thrown(() => btf.sizeOf(loop)).code).toBe('malformed')
    expect(thrown(() => btf.skipModifiersAndTypedefs(loop)).code).toBe('malformed')
    expect(thrown(() => btf.sizeOf(array)).code).toBe('malformed')
    expect(thrown(() => btf.alignOf(array)).code).toBe('malformed')
    expect(thrown(() => btf.alignOf(struct)).code).toBe('malformed')
  })
})
