// Tests an XDP program in elfbee's vm: no Linux, no root, no kernel.
import { open } from 'elfbee'
import { expect, onTestFinished, test } from 'vitest'

const object = new URL('./packet_counter.bpf.o', import.meta.url)

/** The object loaded into a vm of its own, with variables set before; closed when the test ends. */
async function load(variables = {}) {
  const spec = await open(object)
  for (const [name, value] of Object.entries(variables)) spec.variables[name].set(value)
  const live = await spec.load({ backend: 'vm' })
  onTestFinished(() => live.close())
  return live
}

/** Ethernet, IPv4 and UDP headers and `payload`. */
function udp(dport, payload = 'hello') {
  const body = new TextEncoder().encode(payload)
  const packet = new Uint8Array(42 + body.length)
  const view = new DataView(packet.buffer)
  view.setUint16(12, 0x0800)
  packet.set([0x45, 0, 0, 28 + body.length, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 14)
  view.setUint16(34, 40_000)
  view.setUint16(36, dport)
  view.setUint16(38, 8 + body.length)
  packet.set(body, 42)
  return packet
}

test('drops UDP to the blocked port and passes the rest', async () => {
  const live = await load()
  const { count_packets } = live.programs
  expect((await count_packets.run({ data: udp(9999) })).verdict).toBe('XDP_DROP')
  expect((await count_packets.run({ data: udp(53) })).verdict).toBe('XDP_PASS')
})

test('the blocked port is a variable that can be set before loading', async () => {
  const live = await load({ blocked_port: 53 })
  expect((await live.programs.count_packets.run({ data: udp(53) })).verdict).toBe('XDP_DROP')
  expect((await live.programs.count_packets.run({ data: udp(9999) })).verdict).toBe('XDP_PASS')
})

test('counts packets and bytes of each flow', async () => {
  const live = await load()
  for (let i = 0; i < 3; i++) await live.programs.count_packets.run({ data: udp(53) })
  const flow = { saddr: [10, 0, 0, 1], daddr: [10, 0, 0, 2], sport: 40_000, dport: 53, proto: 17 }
  expect(live.maps.flows.get(flow)).toEqual({ packets: 3n, bytes: 141n })
})

test('a packet that ends inside a header is malformed', async () => {
  const live = await load()
  expect((await live.programs.count_packets.run({ data: udp(53).subarray(0, 20) })).verdict).toBe('XDP_ABORTED')
})
