import { expect, it } from 'vitest'
import { BtfBuilder, BtfKind } from '../../src/btf/index.ts'
import { kconfigTypeOf } from '../../src/loader/kconfig-type.ts'

it('kconfig types are strings of one dimension, also in BTF with an array of itself', () => {
  const builder = new BtfBuilder()
  const common = { bitOffset: 0, char: false, bool: false } as const
  const char = builder.add({ kind: BtfKind.INT, name: 'char', size: 1, bits: 8, signed: true, ...common })
  const text = builder.add({ kind: BtfKind.ARRAY, elementType: char, indexType: char, length: 4 })
  const lines = builder.add({ kind: BtfKind.ARRAY, elementType: text, indexType: char, length: 2 })
  const loop = builder.add({ kind: BtfKind.ARRAY, elementType: lines + 1, indexType: char, length: 2 })
  const btf = builder.toBtf()
  expect(kconfigTypeOf(btf, text)).toEqual({ kind: 'chars', length: 4 })
  expect(kconfigTypeOf(btf, lines)).toBeNull()
  expect(kconfigTypeOf(btf, loop)).toBeNull()
})
