import { existsSync, statSync } from 'node:fs'
import { BpfError, decodeUtf8, fromHex, isBpfError } from '../../bytes/index.ts'
import { ProgType, takesPacket } from '../../uapi/index.ts'
import { isCapture, parseCapture } from '../../testing/index.ts'
import { readInput } from '../frame/input.ts'

/** Types whose context is an array of 64-bit arguments, at most 12 of them (MAX_BPF_FUNC_ARGS). */
const ARGUMENT_TYPES: ReadonlySet<number> = new Set<number>([
  ProgType.RAW_TRACEPOINT,
  ProgType.RAW_TRACEPOINT_WRITABLE,
  ProgType.TRACING,
  ProgType.LSM,
])
const ARGUMENTS_SIZE = 12 * 8
/** Long enough for any pt_regs, tracepoint record or perf event. */
const OTHER_CONTEXT_SIZE = 512
/** What a program gets when no packet is named: the shortest Ethernet frame, all zeros. */
const EMPTY_PACKET_SIZE = 60

/** Zeros for a program whose input was not given; null where none is needed. */
export function defaultPacket(type: number): Uint8Array | null {
  return takesPacket(type) ? new Uint8Array(EMPTY_PACKET_SIZE) : null
}

/** Zeros for a program whose context was not given; null where the backend makes one. */
export function defaultContext(type: number): Uint8Array | null {
  if (takesPacket(type)) return null
  return new Uint8Array(ARGUMENT_TYPES.has(type) ? ARGUMENTS_SIZE : OTHER_CONTEXT_SIZE)
}

/**
 * Packets of --data: a capture file, a file of hex digits, any other file as it is, or hex digits.
 * @throws BpfError `usage` with the offset of a wrong digit, `not-found` for a capture without packets
 */
export function readPackets(text: string): Uint8Array[] {
  const bytes = fileOrHex(text, '--data')
  if (!isCapture(bytes)) return [bytes]
  const { packets } = parseCapture(bytes, text)
  if (packets.length === 0) throw new BpfError('not-found', 'the capture has no packets', { where: { file: text } })
  return packets.map((packet) => packet.data)
}

/** Bytes of --ctx. */
export function readContext(text: string): Uint8Array {
  return fileOrHex(text, '--ctx')
}

function fileOrHex(text: string, option: string): Uint8Array {
  if (existsSync(text) && statSync(text).isFile()) {
    const bytes = readInput(text)
    return isHexText(bytes) ? hexDigits(decodeUtf8(bytes), (error) => error.within({ file: text })) : bytes
  }
  return hexDigits(text, (error) => {
    const offset = error.where.offset === undefined ? '' : ` (character ${error.where.offset + 1})`
    return new BpfError(
      'usage',
      `${option}: there is no file '${shortened(text)}', and as hex digits it fails: ${error.message}${offset}`,
    )
  })
}

function hexDigits(text: string, explain: (error: BpfError) => BpfError): Uint8Array {
  try {
    return fromHex(text)
  } catch (error) {
    throw isBpfError(error) ? explain(error) : error
  }
}

/** Hex digits, separators and 0x only. Four bytes of a packet that look so are far from likely. */
function isHexText(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes.every((b) => /[0-9a-fA-FxX\s:,]/.test(String.fromCharCode(b)))
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
