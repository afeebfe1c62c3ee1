const decoder = new TextDecoder('utf-8')
const encoder = new TextEncoder()

/** Bytes as text; what is not UTF-8 becomes U+FFFD. */
export function decodeUtf8(bytes: Uint8Array): string {
  // Short ASCII is by far the most common case (names), and TextDecoder's call costs more than the loop.
  if (bytes.length <= 48) {
    let text = ''
    for (let i = 0; i < bytes.length; i++) {
      const c = bytes[i] as number
      if (c >= 0x80) return decoder.decode(bytes)
      text += String.fromCharCode(c)
    }
    return text
  }
  return decoder.decode(bytes)
}

/** Text as UTF-8 bytes, without a terminating zero. */
export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** The text before the first zero byte, or all of it. */
export function decodeCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return decodeUtf8(end < 0 ? bytes : bytes.subarray(0, end))
}
