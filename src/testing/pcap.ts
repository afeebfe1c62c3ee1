import { BpfError, Reader, Writer } from '../bytes/index.ts'

/** One captured packet. */
export interface CapturedPacket {
  readonly data: Uint8Array
  /** Nanoseconds since 1970, 0 when the file has none. */
  readonly timestampNs: bigint
  /** Length on the wire in bytes; `data` may be shorter. */
  readonly originalLength: number
}

/** A capture file. */
export interface Capture {
  /** LINKTYPE_* of the first interface; 1 is Ethernet. */
  readonly linkType: number
  readonly packets: readonly CapturedPacket[]
}

const MAGIC_MICRO = 0xa1b2c3d4
const MAGIC_NANO = 0xa1b23c4d
const MAGIC_PCAPNG = 0x0a0d0d0a

/** Whether the bytes start like a pcap or pcapng file. */
export function isCapture(bytes: Uint8Array): boolean {
  if (bytes.length < 4) return false
  const little = new Reader(bytes).u32()
  const big = new Reader(bytes, { littleEndian: false }).u32()
  return [little, big].some((m) => m === MAGIC_MICRO || m === MAGIC_NANO || m === MAGIC_PCAPNG)
}

/**
 * Reads a capture: pcap (draft-ietf-opsawg-pcap: micro- or nanoseconds, both byte orders) or pcapng
 * (draft-ietf-opsawg-pcapng: section header, interface description, enhanced and simple packet blocks; others are skipped).
 * @throws BpfError `malformed` or `truncated` with the offset
 */
export function parseCapture(bytes: Uint8Array, name: string = 'capture'): Capture {
  for (const littleEndian of [true, false]) {
    const reader = new Reader(bytes, { name, littleEndian })
    const magic = reader.u32()
    if (magic === MAGIC_PCAPNG) return parsePcapng(bytes, name)
    if (magic === MAGIC_MICRO || magic === MAGIC_NANO) return parsePcap(reader, magic === MAGIC_NANO)
  }
  throw new BpfError('malformed', `${name}: neither a pcap nor a pcapng file`, { where: { offset: 0 } })
}

/** Writes packets as a pcap file with nanosecond times, Ethernet unless said otherwise. */
export function writePcap(
  packets: readonly (Uint8Array | Pick<CapturedPacket, 'data' | 'timestampNs'>)[],
  linkType: number = 1,
): Uint8Array {
  const out = new Writer(true, 4096)
  out.u32(MAGIC_NANO).u16(2).u16(4).u32(0).u32(0).u32(262144).u32(linkType)
  for (const packet of packets) {
    const data = packet instanceof Uint8Array ? packet : packet.data
    const time = packet instanceof Uint8Array ? 0n : packet.timestampNs
    out
      .u32(Number((time / 1_000_000_000n) & 0xffffffffn))
      .u32(Number(time % 1_000_000_000n))
      .u32(data.length)
      .u32(data.length)
      .write(data)
  }
  return out.bytes()
}

function parsePcap(reader: Reader, nanoseconds: boolean): Capture {
  reader.skip(16)
  const linkType = reader.u32() & 0xffff
  const packets: CapturedPacket[] = []
  while (reader.remaining > 0) {
    const seconds = BigInt(reader.u32())
    const fraction = BigInt(reader.u32())
    const length = reader.u32()
    const originalLength = reader.u32()
    packets.push({
      data: reader.take(length).slice(),
      timestampNs: seconds * 1_000_000_000n + fraction * (nanoseconds ? 1n : 1000n),
      originalLength,
    })
  }
  return { linkType, packets }
}

interface PcapngInterface {
  readonly linkType: number
  readonly snapLength: number
  /** Timestamp units in one second. */
  readonly unitsPerSecond: bigint
}

function parsePcapng(bytes: Uint8Array, name: string): Capture {
  const packets: CapturedPacket[] = []
  let interfaces: PcapngInterface[] = []
  let linkType = 1
  let seenInterface = false
  let littleEndian = true
  let pos = 0
  while (pos < bytes.length) {
    const probe = new Reader(bytes, { name }).sub(pos, Math.min(12, bytes.length - pos), `${name}: block header`)
    if (probe.u32() === MAGIC_PCAPNG) {
      probe.skip(4)
      const order = probe.u32()
      if (order !== 0x1a2b3c4d && order !== 0x4d3c2b1a) {
        throw new BpfError('malformed', `${name}: byte-order magic is 0x${order.toString(16)}`, {
          where: { offset: pos + 8 },
        })
      }
      littleEndian = order === 0x1a2b3c4d
      interfaces = []
    }
    const file = new Reader(bytes, { name, littleEndian }).seek(pos)
    const type = file.u32()
    const length = file.u32()
    if (length < 12 || length % 4 !== 0) {
      throw new BpfError('malformed', `${name}: block length ${length} is no multiple of 4 above 11`, {
        where: { offset: pos + 4 },
      })
    }
    const body = file.sub(pos + 8, length - 12, `${name}: block of type ${type}`)
    if (
      new Reader(bytes, { name, littleEndian })
        .seek(pos)
        .skip(length - 4)
        .u32() !== length
    ) {
      throw new BpfError('malformed', `${name}: the two lengths of a block differ`, {
        where: { offset: pos + length - 4 },
      })
    }
    if (type === 1) {
      const described = parseInterface(body)
      interfaces.push(described)
      if (!seenInterface) linkType = described.linkType
      seenInterface = true
    } else if (type === 6) {
      packets.push(parseEnhancedPacket(body, interfaces))
    } else if (type === 3) {
      const originalLength = body.u32()
      const snap = interfaces[0]?.snapLength ?? 0
      const captured = snap > 0 ? Math.min(originalLength, snap) : originalLength
      packets.push({ data: body.take(captured).slice(), timestampNs: 0n, originalLength })
    }
    pos += length
  }
  return { linkType, packets }
}

function parseInterface(body: Reader): PcapngInterface {
  const linkType = body.u16()
  body.skip(2)
  const snapLength = body.u32()
  let unitsPerSecond = 1_000_000n
  while (body.remaining >= 4) {
    const code = body.u16()
    const length = body.u16()
    if (code === 0) break
    const value = body.take(length)
    body.skip(Math.min(-length & 3, body.remaining))
    // if_tsresol: a power of ten, or of two when the high bit is set
    const resolution = value[0]
    if (code === 9 && resolution !== undefined) {
      unitsPerSecond = resolution & 0x80 ? 1n << BigInt(resolution & 0x7f) : 10n ** BigInt(resolution)
    }
  }
  return { linkType, snapLength, unitsPerSecond }
}

function parseEnhancedPacket(body: Reader, interfaces: readonly PcapngInterface[]): CapturedPacket {
  const index = body.u32()
  const described = interfaces[index]
  if (described === undefined) {
    throw new BpfError('malformed', `${body.name}: interface ${index} is not described`, {
      where: { offset: body.baseOffset },
    })
  }
  const high = BigInt(body.u32())
  const low = BigInt(body.u32())
  const length = body.u32()
  const originalLength = body.u32()
  return {
    data: body.take(length).slice(),
    timestampNs: (((high << 32n) | low) * 1_000_000_000n) / described.unitsPerSecond,
    originalLength,
  }
}
