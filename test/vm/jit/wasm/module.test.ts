import { describe, expect, test } from 'vitest'
import { CodeSink, ModuleBuilder, Op, ValueType } from '../../../../src/vm/jit/wasm/index.ts'

const { I32, I64 } = ValueType

function instantiate(builder: ModuleBuilder, imports: WebAssembly.Imports = {}): Record<string, CallableFunction> {
  const bytes = builder.encode()
  expect(WebAssembly.validate(bytes)).toBe(true)
  return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports).exports as Record<string, CallableFunction>
}

describe('modules', () => {
  test('a function with locals of several types', () => {
    const builder = new ModuleBuilder()
    const f = builder.declareFunction({ params: [I32], results: [I64] }, 'f')
    const code = new CodeSink(1)
    const [a, b, c] = [code.addLocal(I64), code.addLocal(I64), code.addLocal(I32)]
    expect([a, b, c]).toEqual([1, 2, 3])
    code.get(0)
    code.i32(5)
    code.op(Op.i32_mul)
    code.tee(c)
    code.op(Op.i64_extend_i32_s)
    code.set(b)
    code.get(b)
    code.i64Halves(0, 1)
    code.op(Op.i64_add)
    code.i64Number(2 ** 40)
    code.op(Op.i64_add)
    builder.defineFunction(f, code)
    builder.exportFunction('f', f)
    expect(instantiate(builder)['f']?.(-3)).toBe(2n ** 32n + 2n ** 40n - 15n)
  })

  test('imports, memory, globals and calls through the table', () => {
    const builder = new ModuleBuilder()
    builder.importMemory('env', 'memory', { minimum: 1 })
    const log = builder.importFunction('env', 'log', { params: [I32], results: [] })
    const type = { params: [I32], results: [I32] }
    const functions = [1, 2].map((by) => {
      const f = builder.declareFunction(type, `add${by}`)
      const code = new CodeSink(1)
      code.get(0)
      code.i32(by)
      code.op(Op.i32_add)
      builder.defineFunction(f, code)
      return f
    })
    const counter = builder.addGlobal(I32)
    const main = builder.declareFunction({ params: [I32], results: [I32] }, 'main')
    const code = new CodeSink(1)
    code.getGlobal(counter)
    code.i32(1)
    code.op(Op.i32_add)
    code.setGlobal(counter)
    code.getGlobal(counter)
    code.call(log)
    code.i32(0)
    code.memory(Op.i32_load, 65532)
    code.get(0)
    code.callIndirect(builder.type(type), 0)
    builder.defineFunction(main, code)
    builder.setTable(functions)
    builder.exportFunction('main', main)
    const memory = new WebAssembly.Memory({ initial: 1 })
    new DataView(memory.buffer).setUint32(65532, 40, true)
    const seen: number[] = []
    const exports = instantiate(builder, { env: { memory, log: (n: number) => seen.push(n) } })
    expect(exports['main']?.(0)).toBe(41)
    expect(exports['main']?.(1)).toBe(42)
    expect(() => exports['main']?.(2)).toThrow(WebAssembly.RuntimeError)
    expect(seen).toEqual([1, 2, 3])
  })

  test('function names are in the name section', () => {
    const builder = new ModuleBuilder()
    const f = builder.declareFunction({ params: [], results: [] }, 'handle_exec')
    const code = new CodeSink(0)
    code.op(Op.unreachable)
    builder.defineFunction(f, code)
    builder.exportFunction('f', f)
    const module = new WebAssembly.Module(builder.encode())
    expect(WebAssembly.Module.customSections(module, 'name')).toHaveLength(1)
    const { exports } = new WebAssembly.Instance(module)
    let stack = ''
    try {
      ;(exports['f'] as () => void)()
    } catch (error) {
      stack = (error as Error).stack ?? ''
    }
    expect(stack).toContain('handle_exec')
  })
})
