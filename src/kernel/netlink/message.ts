import { Reader, Writer, type BpfErrorWhere } from '../../bytes/index.ts'
import { cstring } from '../attr.ts'
import { native, syscallError } from '../syscall.ts'

/** Flags of a request (include/uapi/linux/netlink.h). */
export const NetlinkFlag = {
  REQUEST: 1,
  ACK: 4,
  ECHO: 8,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
} as const
const ERROR = 2
const HEADER_SIZE = 16
const NESTED = 0x8000
const TYPE_MASK = 0x3fff

/** An attribute: a 32-bit number, text, or attributes inside it. */
export type NetlinkAttribute = readonly [type: number, value: number | string | readonly NetlinkAttribute[]]

/** One answer: its type, the fixed header behind it, and its attributes as bytes by their type. */
export interface NetlinkMessage {
  readonly type: number
  readonly body: Reader
}

/**
 * Asks rtnetlink in the calling thread's network namespace. Returns its answers without the acknowledgement, or the
 * errno (negative) that it gives.
 * @param header the fixed header of this type of message
 * @throws BpfError `syscall` when there is no netlink at all
 */
export function netlink(
  type: number,
  flags: number,
  header: Uint8Array,
  attributes: readonly NetlinkAttribute[],
  where: BpfErrorWhere = {},
): NetlinkMessage[] | number {
  const body = new Writer()
  body.write(header)
  for (const attribute of attributes) writeAttribute(body, attribute)
  const payload = body.bytes()
  const request = new Writer()
  request.u32(HEADER_SIZE + payload.length)
  request.u16(type)
  request.u16(flags | NetlinkFlag.REQUEST)
  request.u32(1)
  request.u32(0)
  request.write(payload)
  const answers = native().netlink(request.bytes())
  if (typeof answers === 'number') throw syscallError('netlink', answers, where)
  return parse(answers)
}

function parse(answers: Uint8Array): NetlinkMessage[] | number {
  const reader = new Reader(answers, { name: 'netlink answer' })
  const messages: NetlinkMessage[] = []
  while (reader.remaining >= HEADER_SIZE) {
    const start = reader.pos
    const length = reader.u32()
    const type = reader.u16()
    const body = reader.sub(start + HEADER_SIZE, length - HEADER_SIZE)
    if (type === ERROR) {
      const error = body.s32()
      if (error !== 0) return error
    } else messages.push({ type, body })
    reader.seek(Math.min(start + aligned(length), reader.length))
  }
  return messages
}

/** Attributes from the reader's place on, by type; of several of one type the last. */
export function attributesOf(reader: Reader): Map<number, Reader> {
  const found = new Map<number, Reader>()
  while (reader.remaining >= 4) {
    const start = reader.pos
    const length = reader.u16()
    const type = reader.u16() & TYPE_MASK
    found.set(type, reader.sub(start + 4, length - 4))
    reader.seek(Math.min(start + aligned(length), reader.length))
  }
  return found
}

function writeAttribute(writer: Writer, [type, value]: NetlinkAttribute): void {
  const isNested = typeof value === 'object'
  let bytes: Uint8Array
  if (isNested) {
    const inner = new Writer()
    for (const attribute of value) writeAttribute(inner, attribute)
    bytes = inner.bytes()
  } else bytes = typeof value === 'string' ? cstring(value) : new Uint8Array(Int32Array.of(value).buffer)
  writer.u16(bytes.length + 4)
  writer.u16(isNested ? type | NESTED : type)
  writer.write(bytes)
  writer.zeros(aligned(bytes.length) - bytes.length)
}

function aligned(size: number): number {
  return (size + 3) & ~3
}
