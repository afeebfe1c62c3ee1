import { describe, expect, test } from 'vitest'
import { MapType, ProgType } from '../../../src/uapi/index.ts'
import { createVm } from '../../../src/vm/index.ts'
import { mapSpec, u32 } from '../../support/program.ts'
import { loadText } from '../../support/text-program.ts'
import { thrown } from '../../support/thrown.ts'

const PACKET = Uint8Array.from({ length: 64 }, (_, i) => i)

describe.each([
  ['jit', true],
  ['interpreter', false],
] as const)('contexts by field, %s', (_name, jit) => {
  test('packet programs: fields of struct __sk_buff, before and after', () => {
    const vm = createVm({ verify: false, jit })
    const program = loadText(vm, ProgType.SCHED_CLS, 'r0 = *(u32 *)(r1 + 8)\nr2 = 9\n*(u32 *)(r1 + 8) = r2\nexit')
    const output = program.run({ data: PACKET, fields: { mark: 7 } })
    expect(output.retval).toBe(7)
    expect(output.fields).toMatchObject({ mark: 9 })
    expect(thrown(() => program.run({ data: PACKET, fields: { marc: 7 } })).message).toMatch(/no field marc/)
    expect(thrown(() => program.run({ data: PACKET, fields: { mark: 2 ** 32 } })).code).toBe('usage')
    vm.close()
  })

  test('sock_ops: the socket fills the structure, flags and reply come back', () => {
    const vm = createVm({ verify: false, jit })
    const socket = vm.socket({
      protocol: 'tcp',
      local: { address: [10, 0, 0, 1], port: 1234 },
      remote: { address: [10, 0, 0, 2], port: 80 },
      tcp: { snd_cwnd: 33 },
    })
    const program = loadText(
      vm,
      ProgType.SOCK_OPS,
      `
      r6 = r1
      r7 = *(u32 *)(r6 + 68)
      r8 = *(u32 *)(r6 + 76)
      r2 = 0xff
      call bpf_sock_ops_cb_flags_set
      r2 = 5
      *(u32 *)(r6 + 4) = r2
      r0 <<= 32
      r0 >>= 32
      r7 += r8
      r0 += r7
      exit`,
    )
    const { retval, fields } = program.run({ fields: { op: 4, sk: socket } })
    expect(retval).toBe(0x80 + 1234 + 33)
    expect(fields).toMatchObject({ op: 4, reply: 5, bpf_sock_ops_cb_flags: 0x7f, remote_port: (80 << 24) >>> 0 })
    expect(socket.callbackFlags).toBe(0x7f)
    vm.close()
  })

  test('sockopt: the value can be read, changed and made shorter', () => {
    const vm = createVm({ verify: false, jit })
    const program = loadText(
      vm,
      ProgType.CGROUP_SOCKOPT,
      `
      r2 = *(u64 *)(r1 + 8)
      r0 = *(u8 *)(r2 + 0)
      r3 = 66
      *(u8 *)(r2 + 1) = r3
      r3 = 2
      *(u32 *)(r1 + 32) = r3
      exit`,
    )
    const output = program.run({ data: Uint8Array.of(5, 6, 7, 8), fields: { level: 6, optname: 1 } })
    expect(output.retval).toBe(5)
    expect(output.data).toEqual(Uint8Array.of(5, 66))
    expect(output.fields).toMatchObject({ level: 6, optname: 1, optlen: 2 })
    vm.close()
  })

  test('sysctl: names and values as text', () => {
    const vm = createVm({ verify: false, jit })
    const program = loadText(
      vm,
      ProgType.CGROUP_SYSCTL,
      `
      r6 = r1
      r2 = r10
      r2 += -16
      r3 = 16
      r4 = 1
      call bpf_sysctl_get_name
      r7 = r0
      r2 = 0x31
      *(u64 *)(r10 - 16) = r2
      r1 = r6
      r2 = r10
      r2 += -16
      r3 = 2
      call bpf_sysctl_set_new_value
      r0 = r7
      exit`,
    )
    const output = program.run({ fields: { write: 1, name: 'net/ipv4/tcp_mem', value: '0', newValue: '9' } })
    expect(output.retval).toBe('tcp_mem'.length)
    expect(output.fields).toMatchObject({ newValue: '1' })
    vm.close()
  })

  test('messages: data can be pushed and popped, and redirected to a socket of a map', () => {
    const vm = createVm({ verify: false, jit })
    const map = vm.createMap({
      spec: mapSpec(MapType.SOCKMAP, 4, 4, 2),
      kernelName: 'map',
      btf: null,
      inner: null,
    })
    const socket = vm.socket({ protocol: 'tcp' })
    map.update(u32(1), u32(socket.fd))
    const program = loadText(
      vm,
      ProgType.SK_MSG,
      `
      r6 = r1
      r2 = 1
      r3 = 2
      r4 = 0
      call bpf_msg_push_data
      r1 = r6
      r2 = map[id:0]
      r3 = 1
      r4 = 1
      call bpf_msg_redirect_map
      exit`,
      { maps: [map] },
    )
    const output = program.run({ data: Uint8Array.of(1, 2, 3) })
    expect(output.retval).toBe(1)
    expect(output.data).toEqual(Uint8Array.of(1, 0, 0, 2, 3))
    expect(output.effects).toEqual([{ helper: 'bpf_msg_redirect_map', details: { socket: socket.fd, flags: 1 } }])
    vm.close()
  })

  test('tracing programs: arguments are numbers and bytes to point to', () => {
    const vm = createVm({ verify: false, jit })
    const program = loadText(
      vm,
      ProgType.TRACING,
      `
      r2 = *(u64 *)(r1 + 8)
      r0 = *(u32 *)(r2 + 0)
      r3 = *(u64 *)(r1 + 0)
      r0 += r3
      *(u32 *)(r2 + 4) = r0
      exit`,
    )
    const output = program.run({ fields: { args: [3n, Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0)] } })
    expect(output.retval).toBe(7)
    expect(output.fields).toEqual({ args: [3n, Uint8Array.of(4, 0, 0, 0, 7, 0, 0, 0)] })
    vm.close()
  })

  test('kprobes by register, devices, infrared samples, flow keys', () => {
    const vm = createVm({ verify: false, jit })
    const first = loadText(vm, ProgType.KPROBE, 'r0 = *(u64 *)(r1 + 112)\nexit')
    expect(first.run({ fields: { di: 42n } }).retval).toBe(42)
    const device = loadText(vm, ProgType.CGROUP_DEVICE, 'r0 = *(u32 *)(r1 + 4)\nexit')
    expect(device.run({ fields: { major: 8, minor: 1 } }).retval).toBe(8)
    const infrared = loadText(vm, ProgType.LIRC_MODE2, 'r0 = *(u32 *)(r1 + 0)\nexit')
    expect(infrared.run({ fields: { sample: 1000 } }).retval).toBe(1000)
    const flow = loadText(
      vm,
      ProgType.FLOW_DISSECTOR,
      'r2 = *(u64 *)(r1 + 144)\nr3 = 34\n*(u16 *)(r2 + 2) = r3\nr0 = 0\nexit',
    )
    expect(flow.run({ data: PACKET, fields: {} }).fields).toMatchObject({ nhoff: 14, thoff: 34 })
    vm.close()
  })

  test('a socket is found by the addresses of a tuple', () => {
    const vm = createVm({ verify: false, jit })
    const local = { address: [10, 0, 0, 1], port: 8080 }
    const listening = vm.socket({ protocol: 'tcp', state: 'listen', local: { address: [0, 0, 0, 0], port: 8080 } })
    const connected = vm.socket({ protocol: 'tcp', local, remote: { address: [10, 0, 0, 9], port: 999 } })
    const text = (remotePort: number): string => `
      r2 = 0x0900000a
      *(u32 *)(r10 - 12) = r2
      r2 = 0x0100000a
      *(u32 *)(r10 - 8) = r2
      r2 = ${((remotePort & 0xff) << 8) | (remotePort >> 8)}
      *(u16 *)(r10 - 4) = r2
      r2 = ${((8080 & 0xff) << 8) | (8080 >> 8)}
      *(u16 *)(r10 - 2) = r2
      r2 = r10
      r2 += -12
      r3 = 12
      r4 = -1
      r5 = 0
      call bpf_sk_lookup_tcp
      exit`
    const lookup = (port: number): number => loadText(vm, ProgType.SCHED_CLS, text(port)).run({ data: PACKET }).retval
    expect(lookup(999)).toBe(connected.address)
    expect(lookup(998)).toBe(listening.address)
    vm.close()
  })
})
