import { describe, expect, test } from 'vitest'
import { Btf, BtfBuilder, BtfKind, encodeBtfExt, parseBtfExt } from '../../src/btf/index.ts'
import { thrown } from '../support/thrown.ts'
import { btfOf, extOf } from './fixtures.ts'

describe('BtfBuilder', () => {
  test.each(['clang19/btf_kinds', 'clang19-eb/btf_kinds', 'clang19/core_kinds'])(
    '%s survives the round trip',
    async (object) => {
      const btf = await btfOf(object)
      const again = BtfBuilder.from(btf).toBtf()
      expect(again.littleEndian).toBe(btf.littleEndian)
      expect([...again.types()]).toEqual([...btf.types()])
    },
  )

  test('stores equal strings once', () => {
    const builder = new BtfBuilder()
    expect(builder.addString('x')).toBe(builder.addString('x'))
    expect(builder.addString('')).toBe(0)
    builder.add({ kind: BtfKind.FLOAT, name: 'x', size: 4 })
    expect(new TextDecoder().decode(builder.toBtf().strings)).toBe('\0x\0')
  })

  test('refuses what has no room', () => {
    const struct = (bitOffset: number, bitSize: number): BtfBuilder => {
      const builder = new BtfBuilder()
      builder.add({
        kind: BtfKind.STRUCT,
        name: 's',
        size: 4,
        members: [{ name: 'm', type: 1, bitOffset, bitSize }],
      })
      return builder
    }
    expect(thrown(() => struct(0x100_0000, 1).build()).code).toBe('usage')
    expect(thrown(() => struct(0, 256).build()).code).toBe('usage')
    expect(() => struct(0xff_ffff, 255).build()).not.toThrow()
    const wide = new BtfBuilder()
    wide.add({ kind: BtfKind.ENUM, name: 'e', size: 8, signed: false, values: [{ name: 'E', value: 1n << 32n }] })
    expect(thrown(() => wide.build()).message).toContain('enum64')
  })
})

describe('BTF.ext', () => {
  test('lists functions, lines and CO-RE relocations by section', async () => {
    const { btf, ext } = await extOf('clang19/core_kinds')
    for (const [section, infos] of ext.funcInfo) {
      expect(section).not.toBe('')
      for (const info of infos) expect(btf.kind(info.typeId)).toBe(BtfKind.FUNC)
    }
    const relos = [...ext.coreRelos.values()].flat()
    expect(new Set(relos.map((relo) => relo.kind)).size).toBeGreaterThan(9)
    for (const relo of relos) expect(relo.access).toMatch(/^\d+(:\d+)*$/)
    const line = [...ext.lineInfo.values()].flat()[0]
    expect(line?.fileName).toMatch(/core_kinds\.bpf\.c$/)
    expect(line?.line).toBeGreaterThan(0)
    expect(line?.lineText).not.toBe('')
  })

  test.each([true, false])('survives the round trip, little-endian %s', async (littleEndian) => {
    const { btf, ext } = await extOf(littleEndian ? 'clang19/core_kinds' : 'clang19-eb/core_kinds')
    const builder = BtfBuilder.from(btf)
    const bytes = encodeBtfExt(ext, (text) => builder.addString(text), littleEndian)
    const again = parseBtfExt(bytes, builder.toBtf())
    const plain = (one: typeof ext): unknown => ({
      func: [...one.funcInfo],
      core: [...one.coreRelos].map(([name, relos]) => [name, relos.map((relo) => ({ ...relo, accessOffset: 0 }))]),
      line: [...one.lineInfo].map(([name, lines]) => [
        name,
        lines.map((line) => [line.insnOffset, line.fileName, line.lineText, line.line, line.column]),
      ]),
    })
    expect(plain(again)).toEqual(plain(ext))
  })

  test('reads records that are larger than known, and headers without CO-RE', () => {
    const btf = Btf.parse(new BtfBuilder().build())
    const words = [24, 0, 24, 24, 0, 12, 0, 1, 8, 3, 77]
    const bytes = new Uint8Array(4 + words.length * 4)
    const view = new DataView(bytes.buffer)
    view.setUint32(0, 0x0001_eb9f, true)
    words.forEach((word, i) => view.setUint32(4 + i * 4, word, true))
    const ext = parseBtfExt(bytes, btf)
    expect(ext.recordSizes).toEqual({ funcInfo: 12, lineInfo: 0, coreRelos: 0 })
    expect([...ext.funcInfo]).toEqual([['', [{ insnOffset: 8, typeId: 3 }]]])
    view.setUint32(4 + 5 * 4, 6, true)
    expect(thrown(() => parseBtfExt(bytes, btf)).message).toContain('record size 6')
  })
})
