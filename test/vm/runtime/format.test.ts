import { describe, expect, test } from 'vitest'
import { formatKernel } from '../../../src/vm/runtime/format.ts'
import { LinearMemory } from '../../../src/vm/runtime/memory.ts'

const memory = new LinearMemory(1 << 24)

function format(pattern: string, ...args: bigint[]): string | number {
  const result = formatKernel(memory, new TextEncoder().encode(`${pattern}\0`), args)
  return typeof result === 'number' ? result : new TextDecoder().decode(result)
}

function at(bytes: Uint8Array): bigint {
  const address = memory.allocate(bytes.length + 1)
  memory.write(address, bytes)
  return BigInt(address)
}

describe('formats of bpf_trace_printk and bpf_snprintf', () => {
  // Results of bpf_snprintf on Linux 6.18.
  test.each([
    ['%d', [-1n], '-1'],
    ['%d', [0xffffffffn], '-1'],
    ['%u', [-1n], '4294967295'],
    ['%lu', [-1n], '18446744073709551615'],
    ['%lld', [-5n], '-5'],
    ['%li', [-5n], '-5'],
    ['%x|%X', [0xabcn, 0xabcn], 'abc|ABC'],
    ['%llx', [0x123456789abcdefn], '123456789abcdef'],
    ['%08x', [0x1fn], '0000001f'],
    ['%5d|%-5d|', [42n, 42n], '   42|42   |'],
    ['%+d % d', [1n, 1n], '+1  1'],
    ['%05d', [-42n], '-0042'],
    ['%c%c', [72n, 105n], 'Hi'],
    ['100%%', [], '100%'],
    ['%d', [1n, 2n], '1'],
  ])('%s', (pattern, args, expected) => {
    expect(format(pattern, ...args)).toBe(expected)
  })

  test('strings and addresses from memory', () => {
    const text = at(new TextEncoder().encode('hello'))
    expect(format('%s, %8s|%-8s|', text, text, text)).toBe('hello,    hello|hello   |')
    expect(format('%ps'.replace('ps', 'pks'), text)).toBe('hello')
    expect(format('[%s]', 0n)).toBe('[]')
    const ip4 = at(Uint8Array.of(10, 0, 2, 255))
    expect(format('%pI4 %pi4', ip4, ip4)).toBe('10.0.2.255 010.000.002.255')
    const ip6 = at(Uint8Array.from({ length: 16 }, (_, i) => i))
    expect(format('%pi6', ip6)).toBe('000102030405060708090a0b0c0d0e0f')
    expect(format('%px', 0x10000n)).toBe('0000000000010000')
  })

  test.each([['%f'], ['%'], ['%lf'], ['%z'], ['%d %d'], ['caf\u00e9'], ['\x01'], ['%pZ9']])(
    'refuses %j with EINVAL',
    (pattern) => {
      expect(format(pattern, 1n)).toBe(-22)
    },
  )

  test('refuses a format without a final zero', () => {
    expect(formatKernel(memory, new TextEncoder().encode('abc'), [])).toBe(-22)
  })
})
