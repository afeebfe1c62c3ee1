import { release } from 'node:os'
import { describe, expect, it } from 'vitest'
import { Btf, BtfKind, BtfBuilder } from '../../src/btf/index.ts'
import { btfFeatures, sanitizeBtf, type BtfFeatures } from '../../src/kernel/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'

const ALL: BtfFeatures = {
  func: true,
  globalFunc: true,
  datasec: true,
  float: true,
  declTag: true,
  typeTag: true,
  enum64: true,
  questionMark: true,
}

function sample(): Btf {
  const builder = new BtfBuilder()
  const int = builder.addInt('int', 4, true)
  const variable = builder.add({ kind: BtfKind.VAR, name: 'counter', type: int, linkage: 1 })
  builder.add({ kind: BtfKind.DATASEC, name: '?.struct_ops', size: 4, vars: [{ type: variable, offset: 0, size: 4 }] })
  const proto = builder.add({
    kind: BtfKind.FUNC_PROTO,
    name: '',
    returnType: int,
    params: [{ name: 'ctx', type: int }],
  })
  const fn = builder.add({ kind: BtfKind.FUNC, name: 'main', type: proto, linkage: 1 })
  builder.add({ kind: BtfKind.FLOAT, name: 'double', size: 8 })
  builder.add({ kind: BtfKind.DECL_TAG, name: 'tag', type: fn, componentIndex: -1, kindFlag: false })
  builder.add({ kind: BtfKind.TYPE_TAG, name: 'user', type: int, kindFlag: false })
  builder.add({ kind: BtfKind.ENUM, name: 'sign', size: 4, signed: true, values: [{ name: 'MINUS', value: -1n }] })
  builder.add({
    kind: BtfKind.ENUM64,
    name: 'big',
    size: 8,
    signed: false,
    values: [{ name: 'HUGE', value: 1n << 40n }],
  })
  return builder.toBtf()
}

describe.runIf(await kernelTestsRun())('BTF features', () => {
  it('are those of the running kernel', () => {
    const [major = 0, minor = 0] = release().split('.').map(Number)
    const features = btfFeatures()
    const since = (a: number, b: number): boolean => major > a || (major === a && minor >= b)
    expect(features.enum64).toBe(since(6, 0))
    expect(features.questionMark).toBe(since(6, 10))
    expect(features).toMatchObject({ func: since(5, 0), float: since(5, 13), declTag: since(5, 16) })
  })
})

describe('sanitizeBtf', () => {
  it('leaves a BTF alone that the kernel knows', () => {
    const btf = sample()
    expect(sanitizeBtf(btf, ALL)).toBe(btf)
  })

  it('replaces kinds under the same ids', () => {
    const none = Object.fromEntries(Object.keys(ALL).map((key) => [key, false])) as unknown as BtfFeatures
    const old = sanitizeBtf(sample(), none)
    const kinds = [...old.ids()].map((id) => old.kind(id))
    expect(kinds).toEqual([
      BtfKind.INT,
      BtfKind.INT,
      BtfKind.STRUCT,
      BtfKind.ENUM,
      BtfKind.TYPEDEF,
      BtfKind.STRUCT,
      BtfKind.INT,
      BtfKind.CONST,
      BtfKind.ENUM,
      BtfKind.UNION,
      BtfKind.INT,
    ])
    expect(old.type(3)).toMatchObject({ name: '__struct_ops', size: 4, members: [{ name: 'counter', bitOffset: 0 }] })
    expect(old.type(9)).toMatchObject({ signed: false })
    expect(old.type(10)).toMatchObject({ name: 'big', size: 8, members: [{ name: 'HUGE', type: 11 }] })
    expect(old.type(11)).toMatchObject({ size: 8 })
  })

  it.each<[keyof BtfFeatures, number, object]>([
    ['globalFunc', 5, { kind: BtfKind.FUNC, linkage: 0 }],
    ['questionMark', 3, { kind: BtfKind.DATASEC, name: '_.struct_ops' }],
    ['float', 6, { kind: BtfKind.STRUCT, name: '', size: 8 }],
    ['typeTag', 8, { kind: BtfKind.CONST }],
  ])('replaces only what is not known: %s', (feature, id, expected) => {
    const btf = sample()
    const old = sanitizeBtf(btf, { ...ALL, [feature]: false })
    expect(old.type(id)).toMatchObject(expected)
    const others = [...btf.ids()].filter((other) => other !== id)
    expect(others.map((other) => old.type(other))).toEqual(others.map((other) => btf.type(other)))
  })
})
