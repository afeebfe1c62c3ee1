import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  Btf,
  BtfBuilder,
  BtfKind,
  formatValue,
  readValue,
  writeValue,
  type BtfValueInput,
} from '../../src/btf/index.ts'
import { thrown } from '../support/thrown.ts'
import { addInts, btfOf } from './fixtures.ts'

/** struct flow { __be32 saddr; __be16 dport; char comm[8]; u8 mac[6]; enum proto proto; union { u64 bytes; u32 half }; u32 a:3, b:13; } */
function flowBtf(littleEndian: boolean = true): { btf: Btf; flow: number } {
  const builder = new BtfBuilder({ littleEndian })
  const ints = addInts(builder)
  const be32 = builder.add({ kind: BtfKind.TYPEDEF, name: '__be32', type: ints.u32 })
  const be16 = builder.add({ kind: BtfKind.TYPEDEF, name: '__be16', type: ints.u16 })
  const comm = builder.add({ kind: BtfKind.ARRAY, elementType: ints.char, indexType: ints.int, length: 8 })
  const mac = builder.add({ kind: BtfKind.ARRAY, elementType: ints.u8, indexType: ints.int, length: 6 })
  const proto = builder.add({
    kind: BtfKind.ENUM,
    name: 'proto',
    size: 4,
    signed: false,
    values: [
      { name: 'TCP', value: 6n },
      { name: 'UDP', value: 17n },
    ],
  })
  const anonymous = builder.add({
    kind: BtfKind.UNION,
    size: 8,
    members: [
      { name: 'bytes', type: ints.u64, bitOffset: 0, bitSize: 0 },
      { name: 'half', type: ints.u32, bitOffset: 0, bitSize: 0 },
    ],
  })
  const at = (name: string, type: number, byte: number, bitSize: number = 0, bit: number = 0) => ({
    name,
    type,
    bitOffset: byte * 8 + bit,
    bitSize,
  })
  const flow = builder.add({
    kind: BtfKind.STRUCT,
    name: 'flow',
    size: 40,
    members: [
      at('saddr', be32, 0),
      at('dport', be16, 4),
      at('comm', comm, 6),
      at('mac', mac, 14),
      at('proto', proto, 20),
      at('', anonymous, 24),
      at('a', ints.u32, 32, 3),
      at('b', ints.int, 32, 13, 3),
    ],
  })
  return { btf: builder.toBtf(), flow }
}

describe.each([true, false])('values, little-endian %s', (littleEndian) => {
  const { btf, flow } = flowBtf(littleEndian)

  test('are written by name and read back', () => {
    const bytes = new Uint8Array(40).fill(0xff)
    writeValue(
      btf,
      flow,
      { saddr: '10.0.0.1', dport: 443, comm: 'curl', mac: '02:00:00:00:00:01', proto: 'UDP', bytes: 5n, a: 5, b: -9 },
      bytes,
    )
    expect([...bytes.subarray(0, 6)]).toEqual([10, 0, 0, 1, 1, 187])
    expect(readValue(btf, flow, bytes)).toEqual({
      saddr: 0x0a000001,
      dport: 443,
      comm: 'curl',
      mac: [2, 0, 0, 0, 0, 1],
      proto: 'UDP',
      bytes: 5n,
      half: littleEndian ? 5 : 0,
      a: 5,
      b: -9,
    })
    expect(formatValue(btf, flow, bytes, { pretty: false })).toBe(
      `{"saddr":"10.0.0.1","dport":443,"comm":"curl","mac":[2,0,0,0,0,1],"proto":"UDP","bytes":5,"half":${littleEndian ? 5 : 0},"a":5,"b":-9}`,
    )
  })

  test('keep members that are not given at zero', () => {
    const bytes = new Uint8Array(40).fill(0xff)
    writeValue(btf, flow, { dport: 80 }, bytes)
    expect([...bytes].filter((b) => b !== 0)).toEqual([80])
  })
})

describe('writeValue', () => {
  const { btf, flow } = flowBtf()
  const problem = (value: BtfValueInput): string =>
    thrown(() => writeValue(btf, flow, value, new Uint8Array(40))).message

  test('says what does not fit, and where', () => {
    expect(problem({ nope: 1 })).toBe(
      "flow has no member 'nope'; it has saddr, dport, comm, mac, proto, (anonymous), a, b",
    )
    expect(problem({ dport: 65536 })).toBe('dport: 65536 is not between 0 and 65535')
    expect(problem({ dport: 'http' })).toBe("dport: 'http' is not an integer of 16 bits")
    expect(problem({ a: 8 })).toBe('a: 8 is not between 0 and 7')
    expect(problem({ proto: 'SCTP' })).toBe("proto: 'SCTP' is not one of TCP, UDP")
    expect(problem({ comm: 'much too long' })).toContain('comm')
    expect(problem({ mac: [1, 2, 3, 4, 5, 6, 7] })).toBe('mac has 6 elements, not 7')
    expect(problem({ mac: [1, 256] })).toBe('mac[1]: 256 is not between 0 and 255')
    expect(problem(5)).toBe('flow: 5 is not an object')
    expect(thrown(() => writeValue(btf, flow, {}, new Uint8Array(39))).code).toBe('truncated')
  })

  test('takes bytes for anything', () => {
    const into = new Uint8Array(40)
    const bytes = Uint8Array.from({ length: 40 }, (_, i) => i)
    writeValue(btf, flow, bytes, into)
    expect(into).toEqual(bytes)
    writeValue(btf, flow, { mac: Uint8Array.of(1, 2) }, into)
    expect([...into.subarray(14, 20)]).toEqual([1, 2, 0, 0, 0, 0])
  })

  test('takes and gives plain integers for network order when told', () => {
    const into = new Uint8Array(40)
    writeValue(btf, flow, { dport: 443, saddr: '10.0.0.1' }, into, { networkOrder: 'memory' })
    expect([...into.subarray(0, 6)]).toEqual([10, 0, 0, 1, 187, 1])
    expect(readValue(btf, flow, into, { networkOrder: 'memory' })).toMatchObject({ dport: 443, saddr: 0x0100000a })
  })
})

describe('readValue', () => {
  test('has values for every variable of the fixture', async () => {
    const btf = await btfOf('clang19/btf_kinds')
    const variables = [...btf.ids()].filter((id) => btf.kind(id) === BtfKind.VAR)
    expect(variables.length).toBeGreaterThan(40)
    for (const id of variables) {
      const bytes = new Uint8Array(btf.sizeOf(id)).fill(0x5a)
      const value = readValue(btf, id, bytes, { enums: 'value' })
      const again = new Uint8Array(bytes.length)
      writeValue(btf, id, value, again)
      expect(readValue(btf, id, again, { enums: 'value' }), btf.name(id)).toEqual(value)
    }
  })

  test('reads what it wrote, for any bytes', async () => {
    const { btf, flow } = flowBtf()
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 40, maxLength: 40 }), (bytes) => {
        // Text: what is not UTF-8 has no string of its own.
        for (let i = 6; i < 14; i++) bytes[i] = (bytes[i] as number) & 0x7f
        const value = readValue(btf, flow, bytes)
        const again = new Uint8Array(40)
        writeValue(btf, flow, value, again)
        expect(readValue(btf, flow, again)).toMatchObject({ ...(value as object), half: expect.anything() as number })
      }),
      { numRuns: 200 },
    )
  })

  test('refuses an integer whose bits lie outside of it, at the end of the bytes too', () => {
    const builder = new BtfBuilder()
    const odd = { size: 1, bits: 8, bitOffset: 255, signed: false, char: false, bool: false }
    const int = builder.add({ kind: BtfKind.INT, name: 'odd', ...odd })
    const error = thrown(() => readValue(builder.toBtf(), int, new Uint8Array(1)))
    expect(error.message).toBe('odd: type [1] has bits 255 to 263 of 1 bytes')
  })

  test('gives a flexible array what is left', () => {
    const builder = new BtfBuilder()
    const { u32, int } = addInts(builder)
    const array = builder.add({ kind: BtfKind.ARRAY, elementType: u32, indexType: int, length: 0 })
    const event = builder.add({
      kind: BtfKind.STRUCT,
      name: 'event',
      size: 4,
      members: [
        { name: 'count', type: u32, bitOffset: 0, bitSize: 0 },
        { name: 'stack', type: array, bitOffset: 32, bitSize: 0 },
      ],
    })
    const btf = builder.toBtf()
    const bytes = new Uint8Array(Uint32Array.of(2, 7, 8).buffer)
    expect(readValue(btf, event, bytes)).toEqual({ count: 2, stack: [7, 8] })
    const into = new Uint8Array(12)
    writeValue(btf, event, { count: 2, stack: [7, 8] }, into)
    expect(into).toEqual(bytes)
    expect(thrown(() => readValue(btf, event, bytes.subarray(0, 3))).code).toBe('truncated')
  })

  test('refuses types without values', () => {
    const { btf } = flowBtf()
    expect(thrown(() => readValue(btf, 0, new Uint8Array(8))).code).toBe('type-mismatch')
  })
})

describe('formatValue', () => {
  test('repeats bpftool', () => {
    const { btf, flow } = flowBtf()
    const bytes = new Uint8Array(40)
    writeValue(btf, flow, { saddr: '10.0.0.1', dport: 443, comm: 'curl', proto: 'TCP', bytes: 5n, a: 5, b: 1 }, bytes)
    expect(formatValue(btf, flow, bytes, { style: 'bpftool' })).toBe(
      `{
    "saddr": 16777226,
    "dport": 47873,
    "comm": "curl",
    "mac": [0,0,0,0,0,0
    ],
    "proto": "TCP",
    "": {
        "bytes": 5,
        "half": 5
    },
    "a": 0x5,
    "b": 0x1
}`,
    )
    expect(formatValue(btf, flow, bytes, { style: 'bpftool-json', pretty: false })).toContain('"a":"0x5","b":"0x1"')
  })
})
