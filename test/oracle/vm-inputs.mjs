// Seeded inputs for vm-vs-kernel: packets with mostly valid headers, and contexts.

/** xorshift32. */
export function generator(seed) {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) >>> 0 || 1
  const next = () => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state
  }
  return {
    /** 0 to n - 1 */
    below: (n) => next() % n,
    chance: (percent) => next() % 100 < percent,
    pick: (list) => list[next() % list.length],
    bytes: (n) => Uint8Array.from({ length: n }, () => next() >>> 8),
    u32: next,
  }
}

const PORTS = [53, 80, 443, 8080, 9, 0, 65535, 123, 5300, 22]
const ADDRESSES = [
  [10, 0, 0, 1],
  [10, 1, 2, 3],
  [192, 0, 2, 1],
  [127, 0, 0, 1],
  [0, 0, 0, 0],
  [255, 255, 255, 255],
]

function ethernet(r, type) {
  const head = r.bytes(14)
  if (r.chance(50)) head.set([2, 0, 0, 0, 0, r.below(4)], 0)
  if (r.chance(10)) head.fill(255, 0, 6)
  if (r.chance(10)) head.fill(0, 0, 6)
  head[12] = type >> 8
  head[13] = type & 255
  return head
}

function transport(r, protocol, size) {
  const body = r.bytes(Math.max(size, 20))
  const view = new DataView(body.buffer)
  if (protocol === 6 || protocol === 17) {
    if (r.chance(90)) view.setUint16(0, r.pick(PORTS))
    if (r.chance(90)) view.setUint16(2, r.pick(PORTS))
    if (protocol === 17) {
      view.setUint16(4, body.length)
      if (r.chance(20)) view.setUint16(6, 0)
    } else {
      body[12] = r.chance(80) ? 0x50 : (5 + r.below(11)) << 4
    }
  } else if (r.chance(70)) {
    body[0] = r.pick([8, 0, 128, 3])
  }
  return body
}

function ipv4(r, size) {
  const protocol = r.pick([6, 17, 17, 1, 47, r.below(256)])
  const options = r.chance(10) ? r.below(11) : 0
  const body = transport(r, protocol, size)
  const head = r.bytes(20 + options * 4)
  const view = new DataView(head.buffer)
  head[0] = r.chance(95) ? 0x45 + options : r.below(256)
  view.setUint16(2, head.length + body.length)
  if (r.chance(80)) view.setUint16(6, r.pick([0, 0x4000]))
  head[8] = r.pick([64, 1, 0, 255, 2])
  head[9] = protocol
  if (r.chance(80)) head.set(r.pick(ADDRESSES), 12)
  if (r.chance(80)) head.set(r.pick(ADDRESSES), 16)
  return concat(head, body)
}

function ipv6(r, size) {
  const protocol = r.pick([6, 17, 58, 0, r.below(256)])
  const body = transport(r, protocol, size)
  const head = r.bytes(40)
  head[0] = 0x60
  new DataView(head.buffer).setUint16(4, body.length)
  head[6] = protocol
  return concat(head, body)
}

function concat(...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** A packet; about a quarter is cut short, random or very short. */
export function packet(r) {
  const size = r.chance(80) ? r.below(100) : r.below(1460)
  switch (r.below(10)) {
    case 0:
      return r.bytes(14 + r.below(120))
    case 1:
      return r.bytes(r.below(40))
    case 2: {
      // The first bytes drive the fixtures that read requests from the packet.
      const request = r.bytes(16 + r.below(48))
      request[0] = r.below(8)
      request[1] = r.below(24)
      request[2] = r.below(4)
      return request
    }
    case 3: {
      const request = r.bytes(12 + r.below(20))
      request[1] = r.below(20)
      return request
    }
    case 4:
      return concat(ethernet(r, 0x86dd), ipv6(r, size))
    case 5: {
      const inner = r.chance(70) ? 0x0800 : 0x86dd
      const tag = concat(r.bytes(2), Uint8Array.of(inner >> 8, inner & 255))
      return concat(ethernet(r, r.pick([0x8100, 0x88a8])), tag, inner === 0x0800 ? ipv4(r, size) : ipv6(r, size))
    }
    case 6:
      return concat(ethernet(r, r.pick([0x0806, 0x88cc, 100, 0x05ff])), r.bytes(28 + r.below(30)))
    default: {
      const whole = concat(ethernet(r, 0x0800), ipv4(r, size))
      return r.chance(15) ? whole.subarray(0, r.below(whole.length)) : whole
    }
  }
}

/** struct xdp_md with metadata in front of the packet, sometimes wrong. */
export function xdpContext(r, data) {
  const ctx = new Uint8Array(24)
  const view = new DataView(ctx.buffer)
  view.setUint32(0, r.pick([0, 4, 8, 32, 36, 3]), true)
  view.setUint32(4, r.chance(80) ? data.length : r.below(data.length + 8), true)
  if (r.chance(5)) view.setUint32(r.pick([8, 16, 20]), 1, true)
  return ctx
}

/** struct __sk_buff with the fields that a test run takes, sometimes others. */
export function skbContext(r, data) {
  const ctx = new Uint8Array(192)
  const view = new DataView(ctx.buffer)
  view.setUint32(8, r.u32(), true)
  view.setUint32(32, r.u32(), true)
  if (r.chance(30)) view.setUint32(36, r.below(5), true)
  if (r.chance(20)) view.setUint32(40, 1, true)
  for (let i = 0; i < 5; i++) view.setUint32(48 + i * 4, r.u32(), true)
  if (r.chance(50)) ctx.set(r.bytes(8), 152)
  if (r.chance(20)) view.setUint32(160, data.length + r.below(100), true)
  if (r.chance(20)) view.setUint32(164, r.below(70000), true)
  if (r.chance(20)) view.setUint32(176, r.below(2000), true)
  if (r.chance(20)) ctx.set(r.bytes(8), 184)
  if (r.chance(5)) ctx[r.below(192)] = 1
  return ctx
}

/** u64 words: small numbers, edges, and anything. */
export function words(r, count) {
  const ctx = new Uint8Array(count * 8)
  const view = new DataView(ctx.buffer)
  for (let i = 0; i < count; i++) {
    const value = r.chance(60) ? BigInt(r.below(3000)) : (BigInt(r.u32()) << 32n) | BigInt(r.u32())
    view.setBigUint64(i * 8, value, true)
  }
  return ctx
}
