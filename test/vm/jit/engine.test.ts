import { afterEach, describe, expect, test, vi } from 'vitest'
import { isBpfError } from '../../../src/bytes/index.ts'
import { jit } from '../../../src/vm/jit/index.ts'
import { alu, assemble, exit, jump, mov, runOps, TestMachine } from './support.ts'

function errorOf(work: () => unknown): { code: string; insn: number | undefined; message: string } {
  try {
    work()
  } catch (error) {
    if (isBpfError(error)) return { code: error.code, insn: error.where.insn, message: error.message }
    throw error
  }
  throw new Error('no error')
}

describe('hosts without a JIT', () => {
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  test('no WebAssembly at all', () => {
    const machine = new TestMachine()
    vi.stubGlobal('WebAssembly', undefined)
    expect(errorOf(() => jit.compile(assemble([mov(0, 0), exit]), machine)).code).toBe('unsupported')
  })

  test('a content security policy that forbids to compile', () => {
    const machine = new TestMachine()
    function refuse(): void {
      throw new WebAssembly.CompileError('Wasm code generation disallowed by embedder')
    }
    vi.stubGlobal(
      'WebAssembly',
      new Proxy(WebAssembly, { get: (o, k) => (k === 'Module' ? refuse : Reflect.get(o, k)) }),
    )
    const error = errorOf(() => jit.compile(assemble([mov(0, 0), exit]), machine))
    expect(error.code).toBe('unsupported')
    expect(error.message).toMatch(/disallowed by embedder/)
  })
})

describe('programs that cannot be compiled', () => {
  test.each([
    ['a jump out of the function', [mov(0, 0), jump(9)], 'malformed', 1],
    ['no exit at the end', [mov(0, 0)], 'malformed', 0],
  ])('%s', (_, ops, code, insn) => {
    const error = errorOf(() => runOps(ops))
    expect([error.code, error.insn]).toEqual([code, insn])
  })

  test('an unknown opcode', () => {
    const code = assemble([mov(0, 0), exit])
    code.insns.code[0] = 0xff
    expect(errorOf(() => jit.compile(code, new TestMachine()))).toMatchObject({ code: 'malformed', insn: 0 })
  })
})

test('two programs on one machine do not disturb each other', () => {
  const machine = new TestMachine()
  const one = jit.compile(assemble([alu('mov', 0, 1), exit]), machine)
  const two = jit.compile(assemble([alu('mov', 0, 1), alu('add', 0, { imm: 1 }), exit]), machine)
  one.run(1)
  expect(machine.reg(0)).toBe(1n)
  two.run(0xffffffff)
  expect(machine.reg(0)).toBe(0x100000000n)
})
