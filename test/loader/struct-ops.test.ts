import { describe, expect, it } from 'vitest'
import { Btf, BtfBuilder, BtfKind } from '../../src/btf/index.ts'
import { openObject, type ObjectSpec } from '../../src/loader/index.ts'
import { resolveStructOps } from '../../src/loader/prepare/struct-ops.ts'
import { BpfError } from '../../src/bytes/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { thrown } from '../support/thrown.ts'

const open = async (): Promise<ObjectSpec> =>
  openObject(await loadFixture('fixtures/clang19/struct_ops_min.bpf.o'), { name: 'struct_ops_min.bpf.o' })

interface Shape {
  readonly name?: string
  readonly members?: readonly ('ssthresh' | 'cong_avoid' | 'undo_cwnd' | 'name' | 'flags' | 'extra')[]
  readonly nameLength?: number
}

/** A kernel with one struct_ops type whose members stand in the given order. */
function kernel({ name = 'tcp_congestion_ops', members = ALL, nameLength = 16 }: Shape = {}): Btf {
  const builder = new BtfBuilder()
  const int = builder.addInt('unsigned int', 4, false)
  const char = builder.addInt('char', 1, true)
  const chars = builder.add({ kind: BtfKind.ARRAY, name: '', elementType: char, indexType: int, length: nameLength })
  const proto = builder.add({ kind: BtfKind.FUNC_PROTO, name: '', returnType: 0, params: [] })
  const fn = builder.add({ kind: BtfKind.PTR, name: '', type: proto, kindFlag: false })
  let at = 0
  const placed = members.map((member) => {
    const type = member === 'name' ? chars : member === 'flags' ? int : fn
    const bitOffset = at
    at += member === 'name' ? nameLength * 8 : 64
    return { name: member, type, bitOffset, bitSize: 0 }
  })
  const ops = builder.add({ kind: BtfKind.STRUCT, name, size: at / 8, kindFlag: false, members: placed })
  builder.add({
    kind: BtfKind.STRUCT,
    name: `bpf_struct_ops_${name}`,
    size: 64 + at / 8,
    kindFlag: false,
    members: [
      { name: 'common', type: int, bitOffset: 0, bitSize: 0 },
      { name: 'data', type: ops, bitOffset: 512, bitSize: 0 },
    ],
  })
  return Btf.parse(builder.build())
}
const ALL = ['ssthresh', 'cong_avoid', 'undo_cwnd', 'name', 'flags'] as const

describe('struct_ops', () => {
  it('shows members by name, functions by program', async () => {
    const { steady, steady_link: link } = (await open()).structOps
    expect(steady?.values).toEqual({
      ssthresh: 'keep_ssthresh',
      cong_avoid: 'count_acks',
      undo_cwnd: 'keep_window',
      name: 'bpf_steady',
      flags: 0,
    })
    expect([steady?.typeName, steady?.byLink, link?.byLink]).toEqual(['tcp_congestion_ops', false, true])
  })

  it('takes values by member name and refuses what does not fit', async () => {
    const steady = (await open()).structOps['steady']
    if (steady === undefined) throw new Error('no variable')
    steady.values['flags'] = 3
    steady.values['name'] = 'other'
    steady.values['undo_cwnd'] = null
    expect(steady.values).toMatchObject({ flags: 3, name: 'other', undo_cwnd: null })
    expect(new TextDecoder().decode(steady.map.contents?.subarray(24, 30))).toBe('other\0')
    expect(thrown(() => (steady.values['nothing'] = 1)).code).toBe('not-found')
    expect(thrown(() => steady.set('ssthresh', 5)).code).toBe('type-mismatch')
    expect(thrown(() => steady.set('flags', 'many')).code).toBe('type-mismatch')
  })

  it('lays members out by name as the kernel has them', async () => {
    const spec = await open()
    spec.structOps['steady']?.set('flags', 0x11223344)
    const btf = kernel({ members: ['flags', 'extra', 'name', 'undo_cwnd', 'cong_avoid', 'ssthresh'] })
    const { maps, programs, unused } = resolveStructOps(spec, btf, () => [])
    const layout = maps.get('steady')
    if (layout === undefined || layout instanceof BpfError) throw layout ?? new Error('no layout')
    expect(btf.name(layout.valueTypeId)).toBe('bpf_struct_ops_tcp_congestion_ops')
    const view = new DataView(layout.value.buffer)
    expect(view.getUint32(64, true)).toBe(0x11223344)
    expect(new TextDecoder().decode(layout.value.subarray(80, 90))).toBe('bpf_steady')
    expect(layout.functions).toEqual([
      { offset: 112, program: 'keep_ssthresh' },
      { offset: 104, program: 'count_acks' },
      { offset: 96, program: 'keep_window' },
    ])
    expect(programs.get('count_acks')).toMatchObject({ member: 4, module: null })
    expect(unused.size).toBe(0)
  })

  it('leaves out functions that the kernel lacks, but no values', async () => {
    const spec = await open()
    const btf = kernel({ members: ['ssthresh', 'cong_avoid', 'name'] })
    const { maps, unused } = resolveStructOps(spec, btf, () => [])
    expect(maps.get('steady')).not.toBeInstanceOf(BpfError)
    expect([...unused]).toEqual(['keep_window'])
    spec.structOps['steady']?.set('flags', 1)
    const failed = resolveStructOps(spec, btf, () => []).maps.get('steady')
    expect(failed).toBeInstanceOf(BpfError)
    expect((failed as BpfError).message).toMatch(/'flags'.* is set, and this kernel/)
  })

  it.each<[string, Shape, RegExp]>([
    ['another size', { nameLength: 24 }, /'name' .* has 16 bytes, 24 in the kernel/],
    ['an unknown type', { name: 'sched_ext_ops' }, /no struct_ops 'tcp_congestion_ops'/],
  ])('says what differs: %s', async (_, shape, message) => {
    const { maps, programs } = resolveStructOps(await open(), kernel(shape), () => [])
    expect((maps.get('steady') as BpfError).message).toMatch(message)
    expect((programs.get('keep_window') as BpfError).message).toMatch(message)
  })

  it('finds the type in a module', async () => {
    const base = kernel({ name: 'other_ops' })
    const modules = [{ name: 'tcp_extra', btf: kernel() }]
    const { maps, programs } = resolveStructOps(await open(), base, () => modules)
    expect(maps.get('steady')).toMatchObject({ module: 'tcp_extra' })
    expect(programs.get('keep_window')).toMatchObject({ module: 'tcp_extra', member: 2 })
  })

  it('wants programs of that kind, each for one place', async () => {
    const spec = await open()
    spec.structOps['steady_link']?.set('ssthresh', 'keep_window')
    const { programs, maps } = resolveStructOps(spec, kernel(), () => [])
    expect((programs.get('keep_window') as BpfError).message).toMatch(
      /'undo_cwnd' .*'ssthresh'|'ssthresh' .*'undo_cwnd'/,
    )
    expect(maps.get('steady')).not.toBeInstanceOf(BpfError)
    spec.structOps['steady']?.set('undo_cwnd', 'nobody')
    expect((resolveStructOps(spec, kernel(), () => []).maps.get('steady') as BpfError).message).toMatch(/'nobody'/)
  })
})
