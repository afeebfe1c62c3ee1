import { describe, expect, test } from 'vitest'
import { HELPERS, ProgType, helperName } from '../../../src/uapi/index.ts'
import { createVm, supportedHelpers, unsupportedHelpers } from '../../../src/vm/index.ts'
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
