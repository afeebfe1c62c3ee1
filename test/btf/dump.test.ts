import { describe, expect, test } from 'vitest'
import { BtfBuilder, BtfKind, cName, dumpC, dumpJson, dumpRaw } from '../../src/btf/index.ts'
import { loadText } from '../support/fixture.ts'
import { thrown } from '../support/thrown.ts'
import { addInts, btfOf } from './fixtures.ts'

// Blessed by: node test/oracle/btf-vs-bpftool.mjs --bless (bpftool 7.5)
const OBJECTS = ['clang19/btf_kinds', 'clang19/core_kinds', 'clang19-eb/btf_kinds', 'clang14/packet_counter']

describe.each(OBJECTS)('bpftool 7.5 prints the same for %s', (object) => {
  const golden = (format: string): Promise<string> =>
    loadText(`test/btf/golden/${object.replace('/', '-')}.${format}.txt`)

  test('raw', async () => {
    expect(dumpRaw(await btfOf(object))).toBe(await golden('raw'))
  })
  test('JSON', async () => {
    const btf = await btfOf(object)
    expect(dumpJson(btf, { compat: 'bpftool' })).toBe(await golden('json'))
    expect(dumpJson(btf, { compat: 'bpftool', pretty: true })).toBe(await golden('pretty.json'))
  })
  test('C', async () => {
    const btf = await btfOf(object)
    expect(dumpC(btf, { compat: 'bpftool' })).toBe(await golden('c'))
    expect(dumpC(btf, { compat: 'bpftool', sort: false })).toBe(await golden('unsorted.c'))
  })
})

describe('dumpC', () => {
  test('has the type that bpftool leaves out', () => {
    const builder = new BtfBuilder()
    addInts(builder)
    const values = [{ name: 'FIRST_OF_ALL', value: 1n }]
    builder.add({ kind: BtfKind.ENUM, size: 4, signed: false, values })
    const btf = builder.toBtf()
    expect(dumpC(btf)).toContain('enum {\n\tFIRST_OF_ALL = 1,\n};')
    expect(dumpC(btf, { compat: 'bpftool' })).not.toContain('FIRST_OF_ALL')
  })

  test('gives names that are taken a number, and prints only what is asked for', () => {
    const builder = new BtfBuilder()
    const { int, u32 } = addInts(builder)
    const struct = (type: number): number =>
      builder.add({
        kind: BtfKind.STRUCT,
        name: 'twice',
        size: 4,
        members: [{ name: 'x', type, bitOffset: 0, bitSize: 0 }],
      })
    const first = struct(int)
    const second = struct(u32)
    const btf = builder.toBtf()
    const both = dumpC(btf, { ids: [first, second] })
    expect(both).toContain('struct twice {\n\tint x;\n};')
    expect(both).toContain('struct twice___2 {\n\tunsigned int x;\n};')
    expect(dumpC(btf, { ids: [second] })).not.toContain('twice___2')
  })

  test('refuses types that contain themselves, and absurd padding', () => {
    const loop = new BtfBuilder()
    loop.add({ kind: BtfKind.STRUCT, name: 'a', size: 4, members: [{ name: 'b', type: 1, bitOffset: 0, bitSize: 0 }] })
    expect(thrown(() => dumpC(loop.toBtf())).code).toBe('malformed')
    const huge = new BtfBuilder()
    huge.add({ kind: BtfKind.STRUCT, name: 'huge', size: 0xffff_ffff, members: [] })
    expect(thrown(() => dumpC(huge.toBtf())).code).toBe('limit')
    const pointers = new BtfBuilder()
    pointers.add({ kind: BtfKind.PTR, type: 1 })
    expect(thrown(() => dumpC(pointers.toBtf())).code).toBe('malformed')
  })

  test.each([false, true])('ends for prototypes that fan out without end, through pointers %s', (pointers) => {
    const builder = new BtfBuilder()
    const { int } = addInts(builder)
    let previous = int
    for (let i = 0; i < 60; i++) {
      const params = [
        { name: 'a', type: previous },
        { name: 'b', type: previous },
      ]
      previous = builder.add({ kind: BtfKind.FUNC_PROTO, returnType: 0, params })
      if (pointers) previous = builder.add({ kind: BtfKind.PTR, type: previous })
    }
    const last = builder.add({ kind: BtfKind.TYPEDEF, name: 'fan', type: previous })
    expect(thrown(() => dumpC(builder.toBtf(), { ids: [last] })).code).toBe('limit')
  })
})

describe('cName', () => {
  test('declares as C does', async () => {
    const btf = await btfOf('clang19/btf_kinds')
    const of = (name: string): string => cName(btf, btf.findByName(name, BtfKind.VAR) as number)
    expect(of('pointer_array')).toBe('int (*pointer_array)[4]')
    expect(of('array_many')).toBe('char array_many[2][3][4]')
    expect(of('const_pointer_to_const')).toBe('const char * const const_pointer_to_const')
    expect(of('struct_node')).toBe('struct node struct_node')
    expect(of('fwd_union')).toBe('union never_defined_union *fwd_union')
    const compare = btf.type(btf.findByName('compare_fn') as number)
    expect(compare.kind === BtfKind.TYPEDEF && cName(btf, compare.type, 'f')).toBe(
      'int (*f)(const void *, const void *)',
    )
    expect(cName(btf, 0)).toBe('void')
  })
})
