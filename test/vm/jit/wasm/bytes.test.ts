import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteSink } from '../../../../src/vm/jit/wasm/index.ts'

/** Reads a LEB128 number by its definition. */
function read(bytes: Uint8Array, signed: boolean): bigint {
  let value = 0n
  let shift = 0n
  for (const byte of bytes) {
    value |= BigInt(byte & 0x7f) << shift
    shift += 7n
  }
  return signed ? BigInt.asIntN(Number(shift), value) : value
}

function bytesOf(write: (sink: ByteSink) => void): Uint8Array {
  const sink = new ByteSink(1)
  write(sink)
  return sink.take()
}

describe('LEB128', () => {
  test('examples of the specification', () => {
    expect([...bytesOf((s) => s.unsigned(624485))]).toEqual([0xe5, 0x8e, 0x26])
    expect([...bytesOf((s) => s.signed32(-123456))]).toEqual([0xc0, 0xbb, 0x78])
    expect([...bytesOf((s) => s.signed32(-1))]).toEqual([0x7f])
    expect([...bytesOf((s) => s.signed64(64, 0))]).toEqual([0xc0, 0x00])
  })

  test('any number reads back, in as few bytes as possible', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), (low, high) => {
        expect(
          read(
            bytesOf((s) => s.unsigned(low)),
            false,
          ),
        ).toBe(BigInt(low >>> 0))
        expect(
          read(
            bytesOf((s) => s.signed32(low)),
            true,
          ),
        ).toBe(BigInt(low))
        const value = (BigInt(high) << 32n) | BigInt(low >>> 0)
        const bytes = bytesOf((s) => s.signed64(low, high))
        expect(read(bytes, true)).toBe(value)
        const fits = (n: number): boolean => BigInt.asIntN(7 * n, value) === value
        expect(fits(bytes.length) && (bytes.length === 1 || !fits(bytes.length - 1))).toBe(true)
      }),
    )
  })
})

test('names and sized contents', () => {
  const inner = new ByteSink()
  inner.name('é')
  expect([...bytesOf((s) => s.sized(inner))]).toEqual([3, 2, 0xc3, 0xa9])
})
