import { describe, expect, test } from 'vitest'
import { toHex, Writer } from '../../src/bytes/index.ts'
import { isCapture, parseCapture, writePcap } from '../../src/testing/index.ts'
import { loadFixture, loadText } from '../support/fixture.ts'
import { thrown } from '../support/thrown.ts'

describe('pcap', () => {
  test('reads the fixture that the packet generator wrote beside its hex form', async () => {
    const capture = parseCapture(await loadFixture('fixtures/packets/udp.pcap'))
    expect(capture.linkType).toBe(1)
    expect(capture.packets.map((p) => toHex(p.data))).toEqual([
      (await loadText('fixtures/packets/udp.hex')).replace(/\s/g, ''),
    ])
  })

  test('gives back what writePcap wrote', () => {
    const packets = [
      { data: Uint8Array.of(1, 2, 3), timestampNs: 1_700_000_000_123_456_789n },
      { data: new Uint8Array(0), timestampNs: 0n },
    ]
    const capture = parseCapture(writePcap(packets, 101))
    expect(capture.linkType).toBe(101)
    expect(capture.packets.map(({ data, timestampNs }) => ({ data, timestampNs }))).toEqual(packets)
  })

  test('a record longer than the file is truncated, with its offset', () => {
    const file = writePcap([Uint8Array.of(1, 2, 3, 4)])
    const error = thrown(() => parseCapture(file.subarray(0, file.length - 1), 'a.pcap'))
    expect(error).toMatchObject({ code: 'truncated', message: 'a.pcap: 4 bytes wanted at 40, 3 are left' })
  })

  test('other files are refused by name', () => {
    expect(thrown(() => parseCapture(new Uint8Array(64), 'x.txt')).message).toBe(
      'x.txt: neither a pcap nor a pcapng file',
    )
    expect(isCapture(new Uint8Array(64))).toBe(false)
    expect(isCapture(new Uint8Array(2))).toBe(false)
  })
})

describe('pcapng', () => {
  for (const littleEndian of [true, false]) {
    test(`reads ${littleEndian ? 'little' : 'big'}-endian blocks with nanosecond resolution`, () => {
      const capture = parseCapture(pcapng(littleEndian))
      expect(capture.linkType).toBe(1)
      expect(capture.packets).toEqual([
        { data: Uint8Array.of(0xde, 0xad, 0xbe), timestampNs: (1n << 32n) + 5n, originalLength: 60 },
      ])
    })
  }
})

function pcapng(littleEndian: boolean): Uint8Array {
  const out = new Writer(littleEndian)
  const block = (type: number, body: Uint8Array): void => {
    const length = 12 + ((body.length + 3) & ~3)
    out.u32(type).u32(length).write(body).align(4).u32(length)
  }
  const w = (): Writer => new Writer(littleEndian)
  block(0x0a0d0d0a, w().u32(0x1a2b3c4d).u16(1).u16(0).u64(0xffffffffffffffffn).bytes())
  block(1, w().u16(1).u16(0).u32(0).u16(9).u16(1).u8(9).zeros(3).u16(0).u16(0).bytes())
  block(5, w().u32(0).u64(0n).bytes())
  block(
    6,
    w()
      .u32(0)
      .u32(1)
      .u32(5)
      .u32(3)
      .u32(60)
      .write(Uint8Array.of(0xde, 0xad, 0xbe))
      .bytes(),
  )
  return out.bytes()
}
