import { BpfError } from '../errors.ts'

/** Bytes as lower-case hex digits without separators. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const b of bytes) text += b.toString(16).padStart(2, '0')
  return text
}

/**
 * Hex digits as bytes. White space, `:`, `,` and `0x` prefixes between bytes are allowed, so that output of
 * xxd -p, tcpdump -x (without its offset column) and bpftool can be pasted.
 * @throws BpfError `malformed` with the offset of the first wrong character
 */
export function fromHex(text: string): Uint8Array {
  const out = new Uint8Array(text.length >> 1)
  let length = 0
  let high = -1
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    const isSeparator = c === 32 || (c >= 9 && c <= 13) || c === 58 || c === 44
    if (isSeparator) {
      if (high >= 0) throw new BpfError('malformed', `hex: a byte has one digit only`, { where: { offset: i } })
      continue
    }
    if (high < 0 && c === 48 && (text[i + 1] === 'x' || text[i + 1] === 'X')) {
      i++
      continue
    }
    const digit = digitOf(c)
    if (digit < 0) {
      throw new BpfError('malformed', `hex: '${text[i] ?? ''}' is not a hex digit`, { where: { offset: i } })
    }
    if (high < 0) high = digit
    else {
      out[length++] = high * 16 + digit
      high = -1
    }
  }
  if (high >= 0) throw new BpfError('malformed', 'hex: odd number of digits', { where: { offset: text.length } })
  return out.slice(0, length)
}

function digitOf(c: number): number {
  if (c >= 48 && c <= 57) return c - 48
  if (c >= 97 && c <= 102) return c - 87
  if (c >= 65 && c <= 70) return c - 55
  return -1
}
