/** "10.0.0.1" as a number, or null when it is no IPv4 address. */
export function parseIpv4(text: string): number | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return null
  let value = 0
  for (const part of match.slice(1)) {
    const byte = Number(part)
    if (byte > 255) return null
    value = value * 256 + byte
  }
  return value
}

export function formatIpv4(value: number): string {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.')
}

/** "02:00:00:00:00:01" as six bytes, or null. */
export function parseMac(text: string): Uint8Array | null {
  if (!/^[0-9a-f]{1,2}([:-][0-9a-f]{1,2}){5}$/i.test(text)) return null
  return Uint8Array.from(text.split(/[:-]/), (part) => parseInt(part, 16))
}

/** An IPv6 address (RFC 4291, also with an IPv4 tail) as 16 bytes, or null. */
export function parseIpv6(text: string): Uint8Array | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const head = groups(halves[0] as string)
  const tail = halves.length === 2 ? groups(halves[1] as string) : []
  if (head === null || tail === null) return null
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null
  const all = [...head, ...Array.from({ length: missing }, () => 0), ...tail]
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]))
}

function groups(text: string): number[] | null {
  if (text === '') return []
  const result: number[] = []
  const parts = text.split(':')
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as string
    const address = i === parts.length - 1 ? parseIpv4(part) : null
    if (address !== null) result.push(address >>> 16, address & 0xffff)
    else if (/^[0-9a-f]{1,4}$/i.test(part)) result.push(parseInt(part, 16))
    else return null
  }
  return result
}
