import { describe, expect, test } from 'vitest'
import { assemble } from '../../../src/isa/index.ts'
import { ProgType } from '../../../src/uapi/index.ts'
import { createVm } from '../../../src/vm/index.ts'
import { program } from '../../support/program.ts'

const packet = Uint8Array.from({ length: 60 }, (_, i) => i)
packet.set([0x08, 0x00, 0x45], 12)

/** What a tc program returns; the numbers are those of Linux 6.18. */
function run(text: string): number {
  const vm = createVm({ verify: false })
  const loaded = vm.loadProgram({
    program: { ...program('socket', ProgType.SCHED_CLS, []), insns: assemble(text) },
    license: 'GPL',
    version: 0,
    btf: null,
    maps: new Map(),
    bindMaps: [],
    logLevel: 0,
  })
  const { retval } = loaded.run({ data: packet })
  vm.close()
  return retval
}

describe('the socket of a test run', () => {
  test.each([
    ['family', 4, 2],
    ['type', 8, 0],
    ['src_ip4', 24, 0x1d1c1b1a],
    ['dst_ip4', 52, 0x21201f1e],
    ['state', 72, 7],
    ['rx_queue_mapping', 76, 0xffffffff],
  ])('%s', (_, offset, expected) => {
    const text = `r1 = *(u64 *)(r1 + 168)\ncall bpf_sk_fullsock\nr0 = *(u32 *)(r0 + ${offset})\nexit`
    expect(run(text)).toBe(expected)
  })

  test.each(['tcp_sock', 'get_listener_sock', 'skc_to_tcp_sock', 'skc_to_udp6_sock'])('is none for bpf_%s', (name) => {
    expect(run(`r1 = *(u64 *)(r1 + 168)\ncall bpf_${name}\nexit`)).toBe(0)
  })
})
