import { describe, expect, test } from 'vitest'
import { Btf, BtfBuilder, BtfKind } from '../../../src/btf/index.ts'
import { HELPERS, MapType, ProgType, helperName } from '../../../src/uapi/index.ts'
import { createVm, supportedHelpers, unsupportedHelpers } from '../../../src/vm/index.ts'
import { mapSpec, u32 } from '../../support/program.ts'
import { loadText } from '../../support/text-program.ts'
import { thrown } from '../../support/thrown.ts'

describe.each([
  ['jit', true],
  ['interpreter', false],
] as const)('functions that the user supplies, %s', (_name, jit) => {
  test('a helper that the vm lacks gets its arguments and writes to memory', () => {
    const vm = createVm({
      verify: false,
      jit,
      helpers: {
        bpf_sys_bpf: ([command, address, size], memory) => {
          memory.write(address!, Uint8Array.of(Number(size), 2, 3, 4))
          return command! + 100n
        },
      },
    })
    const text = `
      r1 = 5
      r2 = r10
      r2 += -4
      r3 = 4
      call bpf_sys_bpf
      r1 = *(u32 *)(r10 - 4)
      r0 += r1
      exit`
    expect(loadText(vm, ProgType.SYSCALL, text).run({}).retval).toBe(105 + 0x04030204)
    vm.close()
  })

  test('a helper that the vm has is replaced, also one that engines do by themselves', () => {
    const vm = createVm({
      verify: false,
      jit,
      helpers: { bpf_ktime_get_ns: () => 77n, bpf_get_smp_processor_id: () => -1 },
    })
    expect(loadText(vm, ProgType.SYSCALL, 'call bpf_ktime_get_ns\nexit').run({}).retval).toBe(77)
    expect(loadText(vm, ProgType.SYSCALL, 'call bpf_get_smp_processor_id\nexit').run({}).retval).toBe(0xffffffff)
    vm.close()
  })

  test('a program that calls a missing helper is refused, with its name, the reason and the way out', () => {
    const vm = createVm({ verify: false, jit })
    const error = thrown(() => loadText(vm, ProgType.SYSCALL, 'call bpf_sys_bpf\nexit'))
    expect(error.code).toBe('unsupported')
    expect(error.message).toMatch(/bpf_sys_bpf \(the vm has no bpf\(2\)/)
    expect(error.message).toMatch(/option helpers of createVm\(\)/)
    vm.close()
  })

  test('memory that is not there ends the run', () => {
    const vm = createVm({ verify: false, jit, helpers: { bpf_sys_close: (_args, memory) => memory.read(0, 4).length } })
    const program = loadText(vm, ProgType.SYSCALL, 'call bpf_sys_close\nexit')
    expect(thrown(() => program.run({})).code).toBe('trap')
    vm.close()
  })
})

test('helpers that do not exist are refused', () => {
  expect(thrown(() => createVm({ verify: false, helpers: { bpf_no_such: () => 0 } })).code).toBe('usage')
  expect(thrown(() => createVm({ verify: false, helpers: { bpf_tail_call: () => 0 } })).code).toBe('usage')
})

test('every helper of the kernel is there, or it is said why not', () => {
  const there = new Set(supportedHelpers().map((id) => `bpf_${helperName(id)}`))
  const explained = unsupportedHelpers()
  const names = HELPERS.filter(({ id }) => id !== 0).map(({ id }) => `bpf_${helperName(id)}`)
  expect(names.filter((name) => !there.has(name) && !explained.has(name))).toEqual([])
  expect(names.filter((name) => there.has(name) && explained.has(name))).toEqual([])
})

describe('the task', () => {
  test('has the call stack of the options', () => {
    const vm = createVm({ task: { kernelStack: [0x1000n, 0x2000n], userStack: [0x400n] } })
    const stack = (flags: number): number =>
      loadText(
        vm,
        ProgType.KPROBE,
        `r2 = r10\nr2 += -16\nr3 = 16\nr4 = ${flags}\ncall bpf_get_stack\nr6 = r0\nr0 = *(u64 *)(r10 - 16)\nr0 += r6\nexit`,
      ).run({}).retval
    expect(stack(0)).toBe(0x1000 + 16)
    expect(stack(1)).toBe(0x2000 + 8)
    expect(stack(0x100)).toBe(0x400 + 8)
    vm.close()
  })
})

describe('values by their kernel types', () => {
  const builder = new BtfBuilder()
  const int = builder.addInt('__u32', 4, false)
  const char = builder.addInt('char', 1, true)
  const name = builder.add({ kind: BtfKind.ARRAY, name: '', elementType: char, indexType: int, length: 4 })
  const struct = builder.add({
    kind: BtfKind.STRUCT,
    name: 'pair',
    size: 12,
    kindFlag: false,
    members: [
      { name: 'first', type: int, bitOffset: 0, bitSize: 0 },
      { name: 'second', type: int, bitOffset: 32, bitSize: 0 },
      { name: 'name', type: name, bitOffset: 64, bitSize: 0 },
    ],
  })

  // As the kernel's selftest netif_receive_skb expects.
  test.each([
    [1, "(struct pair){.second = (__u32)7,.name = (char[])['a','b',],}"],
    [3, "{7,['a','b',],}"],
    [9, "(struct pair){.first = (__u32)0,.second = (__u32)7,.name = (char[])['a','b',],}"],
    [0, "(struct pair){\n\t.second = (__u32)7,\n\t.name = (char[])[\n\t\t'a',\n\t\t'b',\n\t],\n}"],
  ])('flags %i', (flags, expected) => {
    const vm = createVm({ btf: Btf.parse(builder.build()) })
    const out = vm.createMap({ spec: mapSpec(MapType.ARRAY, 4, 128, 1), kernelName: 'out', btf: null, inner: null })
    const program = loadText(
      vm,
      ProgType.KPROBE,
      `
      r1 = 0
      *(u64 *)(r10 - 48) = r1
      *(u32 *)(r10 - 44) = r1
      r1 = 7
      *(u32 *)(r10 - 44) = r1
      r1 = 0x6261
      *(u64 *)(r10 - 40) = r1
      r1 = r10
      r1 += -48
      *(u64 *)(r10 - 16) = r1
      r1 = ${struct}
      *(u64 *)(r10 - 8) = r1
      *(u32 *)(r10 - 20) = 0
      r1 = map[id:0]
      r2 = r10
      r2 += -20
      call bpf_map_lookup_elem
      r1 = r0
      r2 = 128
      r3 = r10
      r3 += -16
      r4 = 16
      r5 = ${flags}
      call bpf_snprintf_btf
      exit`,
      { maps: [out] },
    )
    expect(program.run({}).retval).toBe(expected.length)
    const text = new TextDecoder().decode(out.lookup(u32(0))!)
    expect(text.slice(0, text.indexOf('\0'))).toBe(expected)
    vm.close()
  })
})
