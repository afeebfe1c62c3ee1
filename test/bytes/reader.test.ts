import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, isBpfError, Reader, toHex, Writer } from '../../src/bytes/index.ts'
import { thrown } from '../support/thrown.ts'

describe('Reader', () => {
  test('reads every width in both byte orders', () => {
    const bytes = fromHex('0102030405060708')
    expect(new Reader(bytes).u16()).toBe(0x0201)
    expect(new Reader(bytes, { littleEndian: false }).u16()).toBe(0x0102)
    expect(new Reader(bytes).u32()).toBe(0x04030201)
    expect(new Reader(bytes, { littleEndian: false }).u64()).toBe(0x0102030405060708n)
    expect(new Reader(fromHex('fffe')).s16()).toBe(-257)
    expect(new Reader(fromHex('ffffffff')).s32()).toBe(-1)
  })

  test('an access past the end says where in the file', () => {
    const reader = new Reader(new Uint8Array(10), { name: 'ELF header', baseOffset: 0x40 })
    reader.skip(8)
    const error = thrown(() => reader.u32())
    expect(error.code).toBe('truncated')
    expect(error.message).toBe('ELF header: 4 bytes wanted at 8, 2 are left')
    expect(error.where.offset).toBe(0x48)
  })

  test('a sub-reader keeps absolute offsets', () => {
    const sub = new Reader(new Uint8Array(100), { baseOffset: 1000 }).sub(20, 4, 'inner')
    expect(sub.offset).toBe(1020)
    expect(() => sub.skip(5)).toThrow('inner: 5 bytes wanted at 0, 4 are left')
  })

  test('64-bit sizes above 2^53 are refused', () => {
    expect(thrown(() => new Reader(new Uint8Array(8).fill(255)).size64('sh_size')).message).toContain('sh_size 0xffff')
  })

  test('strings need their terminating zero', () => {
    const reader = new Reader(fromHex('616200 6364'))
    expect(reader.cstringAt(0)).toBe('ab')
    expect(reader.cstringAt(1)).toBe('b')
    expect(thrown(() => reader.cstringAt(3)).code).toBe('malformed')
    expect(thrown(() => reader.cstringAt(9)).code).toBe('truncated')
  })
})

describe('Writer', () => {
  test('gives back what a Reader reads', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })), (littleEndian, values) => {
        const writer = new Writer(littleEndian, 1)
        for (const v of values) writer.u64(v)
        const reader = new Reader(writer.bytes(), { littleEndian })
        expect(values.map(() => reader.u64())).toEqual(values)
      }),
    )
  })

  test('aligns and patches', () => {
    const writer = new Writer().u8(1).align(8).u32(0)
    writer.patchU32(8, 7)
    expect(toHex(writer.bytes())).toBe('010000000000000007000000')
  })
})

describe('hex', () => {
  test('reads what tools print', () => {
    expect(toHex(fromHex('0x01 0x02,03:04\n0506'))).toBe('010203040506')
  })

  test('names the offset of a wrong character', () => {
    const error = thrown(() => fromHex('01 0g'))
    expect(error.message).toBe("hex: 'g' is not a hex digit")
    expect(error.where.offset).toBe(4)
  })

  test('any text gives bytes or a BpfError', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          fromHex(text)
        } catch (error) {
          expect(isBpfError(error)).toBe(true)
        }
      }),
    )
  })
})
