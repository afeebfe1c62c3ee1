import { BpfError, decodeUtf8, Reader } from '../../bytes/index.ts'

/** Signatures and sizes of the ZIP file format (PKWARE APPNOTE 6.3). */
const END = { signature: 0x0605_4b50, size: 22, longestComment: 0xffff } as const
const CENTRAL = { signature: 0x0201_4b50, size: 46 } as const
const LOCAL = { signature: 0x0403_4b50, size: 30 } as const
const ENCRYPTED = 1
const STORED = 0

/** An entry that is kept as it is, so that its code runs from the archive. */
export interface ZipEntry {
  readonly bytes: Uint8Array
  /** Bytes from the start of the archive. */
  readonly offset: number
}

/**
 * A file inside a ZIP archive such as an APK. Only files that are neither compressed nor encrypted can be mapped and so
 * have probes.
 * @throws BpfError `malformed`, `not-found`, `unsupported`
 */
export function zipEntry(archive: string, bytes: Uint8Array, name: string): ZipEntry {
  const where = { file: archive }
  const reader = new Reader(bytes, { name: archive })
  reader.seek(endRecord(archive, bytes) + 10)
  const count = reader.u16()
  reader.skip(4)
  reader.seek(reader.u32())
  for (let i = 0; i < count; i++) {
    const start = reader.pos
    if (reader.u32() !== CENTRAL.signature)
      throw new BpfError('malformed', 'a damaged directory of a ZIP file', { where })
    reader.skip(4)
    const flags = reader.u16()
    const method = reader.u16()
    reader.skip(8)
    const size = reader.u32()
    reader.skip(4)
    const [nameLength, extraLength, commentLength] = [reader.u16(), reader.u16(), reader.u16()]
    reader.skip(8)
    const local = reader.u32()
    const found = decodeUtf8(reader.take(nameLength))
    if (found !== name) {
      reader.seek(start + CENTRAL.size + nameLength + extraLength + commentLength)
      continue
    }
    if (method !== STORED || (flags & ENCRYPTED) !== 0) {
      const why = 'only a file that is stored as it is can have probes'
      throw new BpfError('unsupported', `"${name}" is compressed or encrypted: ${why}`, { where })
    }
    if (reader.seek(local).u32() !== LOCAL.signature) {
      throw new BpfError('malformed', `a damaged header of "${name}"`, { where })
    }
    // Its own lengths: the extra field of the directory may be another.
    reader.skip(22)
    const [localName, localExtra] = [reader.u16(), reader.u16()]
    const offset = local + LOCAL.size + localName + localExtra
    return { bytes: reader.sub(offset, size, name).bytes, offset }
  }
  throw new BpfError('not-found', `there is no "${name}" in it`, { where })
}

/** Where the last record starts, which may have a comment behind it. */
function endRecord(archive: string, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const first = Math.max(0, bytes.length - END.size - END.longestComment)
  for (let at = bytes.length - END.size; at >= first; at--) {
    if (view.getUint32(at, true) === END.signature) return at
  }
  throw new BpfError('malformed', 'it is no ZIP file', { where: { file: archive } })
}
