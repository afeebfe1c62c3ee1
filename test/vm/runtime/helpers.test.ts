import { describe, expect, test } from 'vitest'
import { MapType, ProgType } from '../../../src/uapi/index.ts'
import { createVm, type Vm, type VmMap } from '../../../src/vm/index.ts'
import { mapSpec, u32, u64 } from '../../support/program.ts'
import { loadText } from '../../support/text-program.ts'

const PACKET = Uint8Array.from({ length: 64 }, (_, i) => i)

function map(vm: Vm, type: number, keySize: number, valueSize: number, maxEntries: number): VmMap {
  return vm.createMap({
    spec: mapSpec(type, keySize, valueSize, maxEntries),
    kernelName: 'map',
    btf: null,
    inner: null,
  })
}

describe.each([
  ['jit', true],
  ['interpreter', false],
] as const)('helpers on virtual objects, %s', (_name, jit) => {
  test('socket options keep what is set, and are refused by level, number and size', () => {
    const vm = createVm({ jit, verify: false })
    const socket = vm.socket({ protocol: 'tcp' })
    const call = (helper: string, level: number, name: number, size: number): string => `
      r1 = r6
      r2 = ${level}
      r3 = ${name}
      r4 = r10
      r4 += -8
      r5 = ${size}
      call bpf_${helper}`
    const run = (text: string): number =>
      loadText(vm, ProgType.SOCK_OPS, `r6 = r1\nr1 = 7\n*(u64 *)(r10 - 8) = r1${text}\nexit`).run({
        fields: { sk: socket },
      }).retval | 0
    const read = '\nr0 = *(u32 *)(r10 - 8)'
    expect(run(call('getsockopt', 1, 7, 4) + read)).toBe(212_992)
    expect(run(call('setsockopt', 1, 36, 4))).toBe(0)
    expect(run(call('getsockopt', 1, 36, 4) + read)).toBe(7)
    expect(run(call('setsockopt', 1, 36, 2))).toBe(-22)
    expect(run(call('setsockopt', 1, 9999, 4))).toBe(-22)
    expect(run(call('getsockopt', 6, 13, 8) + read)).toBe(0x69627563)
    vm.close()
  })

  test('cgroup arrays, ancestors and storage know virtual cgroups', () => {
    const vm = createVm({ jit, verify: false, task: { cgroupId: 5n } })
    const array = map(vm, MapType.CGROUP_ARRAY, 4, 4, 2)
    const below = vm.cgroup({ id: 6n })
    array.update(u32(0), u32(vm.currentCgroup.fd))
    array.update(u32(1), u32(below.fd))
    const under = (index: number): number =>
      loadText(vm, ProgType.KPROBE, `r1 = map[id:0]\nr2 = ${index}\ncall bpf_current_task_under_cgroup\nexit`, {
        maps: [array],
      }).run({}).retval | 0
    expect([under(0), under(1), under(2)]).toEqual([1, 0, -7])
    expect(loadText(vm, ProgType.KPROBE, 'r1 = 0\ncall bpf_get_current_ancestor_cgroup_id\nexit').run({}).retval).toBe(
      5,
    )
    vm.close()
  })

  test('bpf_d_path gives the path of a virtual file', () => {
    const vm = createVm({ jit, verify: false })
    const file = vm.file({ path: '/etc/passwd' })
    const text = `
      r1 = *(u64 *)(r1 + 0)
      r1 += 16
      r2 = r10
      r2 += -16
      r3 = 16
      call bpf_d_path
      r6 = r0
      r0 = *(u8 *)(r10 - 15)
      r0 += r6
      exit`
    const { retval } = loadText(vm, ProgType.TRACING, text).run({ fields: { args: [file.address] } })
    expect(retval).toBe('/etc/passwd'.length + 1 + 'e'.charCodeAt(0))
    vm.close()
  })

  test('sk_reuseport chooses a socket of a map', () => {
    const vm = createVm({ jit, verify: false })
    const array = map(vm, MapType.REUSEPORT_SOCKARRAY, 4, 8, 2)
    const local = { address: [127, 0, 0, 1], port: 80 }
    const socket = vm.socket({ protocol: 'tcp', state: 'listen', local, reuseport: true })
    array.update(u32(1), u64(BigInt(socket.fd)))
    const choose = (key: number) =>
      loadText(
        vm,
        ProgType.SK_REUSEPORT,
        `r2 = ${key}\n*(u32 *)(r10 - 4) = r2\nr2 = map[id:0]\nr3 = r10\nr3 += -4\nr4 = 0\ncall bpf_sk_select_reuseport\nexit`,
        { maps: [array] },
      ).run({ data: PACKET })
    expect(choose(0).retval | 0).toBe(-2)
    expect(choose(1)).toMatchObject({
      retval: 0,
      effects: [{ helper: 'bpf_sk_select_reuseport', details: { socket: socket.fd } }],
    })
    vm.close()
  })

  test('sk_lookup gives the socket that it was assigned', () => {
    const vm = createVm({ jit, verify: false })
    const sockets = map(vm, MapType.SOCKMAP, 4, 8, 1)
    const socket = vm.socket({ protocol: 'tcp', state: 'listen', local: { address: [0, 0, 0, 0], port: 7 } })
    sockets.update(u32(0), u64(BigInt(socket.fd)))
    const program = loadText(
      vm,
      ProgType.SK_LOOKUP,
      `
      r6 = r1
      r1 = 0
      *(u32 *)(r10 - 4) = r1
      r1 = map[id:0]
      r2 = r10
      r2 += -4
      call bpf_map_lookup_elem
      if r0 == 0 goto end
      r1 = r6
      r2 = r0
      r3 = 0
      call bpf_sk_assign
      end:
      exit`,
      { maps: [sockets] },
    )
    const output = program.run({ fields: { family: 2, protocol: 6, local_port: 7 } })
    expect(output.retval).toBe(0)
    expect(output.fields).toMatchObject({ cookie: socket.cookie, local_port: 7 })
    vm.close()
  })

  test('what packet programs ask for is in the effects', () => {
    const vm = createVm({ jit, verify: false })
    const program = loadText(vm, ProgType.SCHED_CLS, 'r1 = 1\nr2 = 0\ncall bpf_redirect\nexit')
    expect(program.run({ data: PACKET })).toMatchObject({
      retval: 7,
      effects: [{ helper: 'bpf_redirect', details: { ifindex: 1, flags: 0 } }],
    })
    const infrared = loadText(vm, ProgType.LIRC_MODE2, 'r2 = 4\nr3 = 0x1234\nr4 = 1\ncall bpf_rc_keydown\nexit')
    expect(infrared.run({ fields: { sample: 1 } }).effects).toEqual([
      { helper: 'bpf_rc_keydown', details: { protocol: 4, scancode: 0x1234n, toggle: 1 } },
    ])
    vm.close()
  })

  test('SYN cookies are accepted by the check that belongs to them', () => {
    const vm = createVm({ jit, verify: false })
    const ip = '*(u64 *)(r10 - 64) = r1\n*(u64 *)(r10 - 56) = r1\n*(u64 *)(r10 - 48) = r1\n'
    const text = `
      r1 = 0x0102030405060708 ll
      ${ip}
      *(u64 *)(r10 - 32) = r1
      *(u64 *)(r10 - 24) = r1
      *(u64 *)(r10 - 16) = r1
      r1 = r10
      r1 += -64
      r2 = r10
      r2 += -32
      r3 = 20
      call bpf_tcp_raw_gen_syncookie_ipv4
      w0 = w0
      r0 += 1
      r0 = be32 r0
      *(u32 *)(r10 - 24) = r0
      r1 = r10
      r1 += -64
      r2 = r10
      r2 += -32
      call bpf_tcp_raw_check_syncookie_ipv4
      exit`
    expect(loadText(vm, ProgType.XDP, text).run({ data: PACKET }).retval).toBe(0)
    vm.close()
  })
})
