import { describe, expect, it } from 'vitest'
import { Btf, BtfBuilder, BtfKind, dumpRaw, type BtfType } from '../../../src/btf/index.ts'
import {
  CoreKind,
  minCoreBtf,
  openObject,
  prepare,
  readCoreObject,
  type CoreObject,
  type ObjectSpec,
} from '../../../src/loader/index.ts'
import { loadFixture } from '../../support/fixture.ts'
import { thrown } from '../../support/thrown.ts'

async function open(name: string): Promise<ObjectSpec> {
  return openObject(await loadFixture(`fixtures/clang19/${name}.bpf.o`), { name: `${name}.bpf.o` })
}

/** Instructions after CO-RE, by program; the reason for those that fail. */
function relocated(spec: ObjectSpec, kernelBtf: Btf): Record<string, unknown> {
  return Object.fromEntries(
    prepare(spec, { kernelBtf }).programs.map((result) =>
      result.ok
        ? [result.program.spec.name, [...result.program.insns.toBytes()]]
        : [result.spec.name, result.error.message],
    ),
  )
}

/** An object that asks one question about its own types, which serve as the kernel's, too. */
function asking(btf: Btf, typeId: number, access: string, kind: number): CoreObject {
  const records = [{ insnOffset: 0, typeId, access, accessOffset: 0, kind }]
  const btfExt = { coreRelos: new Map([['xdp', records]]) } as unknown as NonNullable<CoreObject['btfExt']>
  return { file: 'asking.o', littleEndian: true, btf, btfExt }
}

function kernel(): { btf: Btf; task: number; state: number } {
  const builder = new BtfBuilder()
  const int = builder.addInt('int', 4, true)
  const member = (name: string, type: number, byte: number) => ({ name, type, bitOffset: byte * 8, bitSize: 0 })
  const cred = builder.add({ kind: BtfKind.STRUCT, name: 'cred', size: 8, members: [member('uid', int, 4)] })
  const credPointer = builder.add({ kind: BtfKind.PTR, type: cred })
  const anonymous = builder.add({
    kind: BtfKind.UNION,
    size: 4,
    members: [member('pid', int, 0), member('tid', int, 0)],
  })
  const state = builder.add({
    kind: BtfKind.ENUM,
    name: 'state',
    size: 4,
    signed: false,
    values: [{ name: 'RUNNING', value: 0n }],
  })
  const task = builder.add({
    kind: BtfKind.STRUCT,
    name: 'task',
    size: 24,
    members: [member('cred', credPointer, 0), member('', anonymous, 8), member('state', state, 12)],
  })
  return { btf: builder.toBtf(), task, state }
}

function minimal(typeId: number, access: string, kind: number): BtfType[] {
  const { btf } = kernel()
  return [...Btf.parse(minCoreBtf([asking(btf, typeId, access, kind)], btf)).types()]
}

describe('minCoreBtf', () => {
  it('keeps only the members on the way to a field, with their offsets', () => {
    const types = minimal(kernel().task, '0:1:1', CoreKind.FIELD_BYTE_OFFSET)
    expect(types).toMatchObject([
      { kind: BtfKind.INT, name: 'int' },
      { kind: BtfKind.UNION, members: [{ name: 'tid' }] },
      { kind: BtfKind.STRUCT, name: 'task', size: 24, members: [{ name: '', bitOffset: 64, type: 2 }] },
    ])
  })

  it('keeps a pointer member without what it points to', () => {
    const types = minimal(kernel().task, '0:0', CoreKind.FIELD_EXISTS)
    expect(types).toMatchObject([
      { kind: BtfKind.PTR, type: 0 },
      { kind: BtfKind.STRUCT, name: 'task', members: [{ name: 'cred', type: 1 }] },
    ])
  })

  it('keeps a struct without members for questions about its size', () => {
    expect(minimal(kernel().task, '0', CoreKind.TYPE_SIZE)).toMatchObject([{ name: 'task', size: 24, members: [] }])
  })

  it('keeps all members for a type match, but none of a struct behind a pointer', () => {
    const types = minimal(kernel().task, '0', CoreKind.TYPE_MATCHES)
    expect(types.map(({ name }) => name)).toEqual(['int', 'cred', '', '', 'state', 'task'])
    expect(types[1]).toMatchObject({ name: 'cred', members: [] })
    expect(types[5]).toMatchObject({ members: [{ name: 'cred' }, { name: '' }, { name: 'state' }] })
  })

  it('keeps all values of an enum', () => {
    expect(minimal(kernel().state, '0', CoreKind.ENUMVAL_VALUE)).toMatchObject([
      { name: 'state', values: [{ name: 'RUNNING' }] },
    ])
  })

  it('relocates programs as the whole BTF does', async () => {
    for (const name of ['execsnoop', 'block_latency']) {
      const spec = await open(name)
      const whole = spec.btf as Btf
      const bytes = minCoreBtf([spec], whole)
      expect(bytes.length).toBeLessThan(whole.bytes().length)
      expect(relocated(spec, Btf.parse(bytes))).toEqual(relocated(spec, whole))
    }
  })

  it('serves several objects at once', async () => {
    const [one, two] = [await open('execsnoop'), await open('block_latency')]
    const whole = one.btf as Btf
    const both = minCoreBtf([one, two], whole)
    expect(dumpRaw(Btf.parse(minCoreBtf([two, one], whole)))).toBe(dumpRaw(Btf.parse(both)))
    expect(Btf.parse(both).typeCount).toBeGreaterThanOrEqual(Btf.parse(minCoreBtf([two], whole)).typeCount)
  })

  it('leaves out what the kernel does not have', () => {
    const { btf, task } = kernel()
    const empty = new BtfBuilder().toBtf()
    const object = asking(btf, task, '0:2', CoreKind.FIELD_EXISTS)
    expect(Btf.parse(minCoreBtf([object], empty)).typeCount).toBe(1)
  })

  it('names an object without records', async () => {
    const object = readCoreObject(await loadFixture('fixtures/clang19/packet_counter.bpf.o'), 'counter.o')
    const error = thrown(() => minCoreBtf([{ ...object, btfExt: null }], kernel().btf))
    expect([error.code, error.where.file]).toEqual(['not-found', 'counter.o'])
    const bytes = await loadFixture('fixtures/clang19/notype.bpf.o')
    expect(thrown(() => minCoreBtf([readCoreObject(bytes, 'notype.o')], kernel().btf)).code).toBe('not-found')
  })
})
