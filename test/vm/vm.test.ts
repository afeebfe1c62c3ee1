import { describe, expect, test, vi } from 'vitest'
import type { Operation } from '../../src/isa/index.ts'
import type { BackendMap, PreparedProgram } from '../../src/loader/index.ts'
import { HelperId, MapType, ProgType } from '../../src/uapi/index.ts'
import { createVm, type Vm, type VmOptions, type VmProgram } from '../../src/vm/index.ts'
import { mapSpec, op, program } from '../support/program.ts'
import { thrown } from '../support/thrown.ts'

const PACKET = new Uint8Array(64)

function request(prepared: PreparedProgram, maps: Record<string, BackendMap>): Parameters<Vm['loadProgram']>[0] {
  return {
    program: prepared,
    license: 'GPL',
    version: 0,
    btf: null,
    maps: new Map(Object.entries(maps)),
    bindMaps: [],
    logLevel: 0,
  }
}

function loadOps(
  vm: Vm,
  type: number,
  ops: readonly Operation[],
  maps: Record<string, BackendMap> = {},
  more: Partial<PreparedProgram> = {},
): VmProgram {
  return vm.loadProgram(request({ ...program('test', type, ops, Object.keys(maps)), ...more }, maps))
}

function u64s(...values: bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values).buffer)
}

const branchBack: Operation = { kind: 'jump', target: 0 }
const local = (target: number, at: number): Operation => ({
  kind: 'call',
  call: 'local',
  imm: target - at - 1,
  off: 0,
  target,
})

test('runs programs in the interpreter where the host does not compile WebAssembly', () => {
  function refuse(): void {
    throw new WebAssembly.CompileError('Wasm code generation disallowed by embedder')
  }
  vi.stubGlobal('WebAssembly', new Proxy(WebAssembly, { get: (o, k) => (k === 'Module' ? refuse : Reflect.get(o, k)) }))
  try {
    const vm = createVm({ verify: false })
    expect(vm.engine).toBe('interpreter')
    expect(loadOps(vm, ProgType.XDP, [op.number(0, 2, 0), op.exit]).run({ data: PACKET }).retval).toBe(2)
  } finally {
    vi.unstubAllGlobals()
  }
})

describe.each([
  ['jit', true],
  ['interpreter', false],
] as const)('vm with the %s', (name, jit) => {
  const make = (options: VmOptions = {}): Vm => createVm({ verify: false, jit, ...options })

  test('says which engine runs programs', () => {
    expect(make().engine).toBe(name)
  })

  describe('stops a program that goes wrong, with instruction and C line', () => {
    const lines = [
      { insn: 0, file: 'a.c', line: 7, column: 1, text: '  int x = 0;', fileOffset: 0, textOffset: 0 },
      { insn: 1, file: 'a.c', line: 8, column: 3, text: '  return *p;', fileOffset: 0, textOffset: 0 },
    ]

    test.each([
      ['null pointer', op.load(4, 0, 1, 0), 0n],
      ['null pointer with an offset', op.load(8, 0, 1, 24), 0n],
      ['address above 4 GiB', op.load(1, 0, 1, 0), 0xffff888000000000n],
      ['end of the memory', op.load(8, 0, 1, 0), 0xfffffff9n],
    ])('%s', (_what, load, pointer) => {
      const ops = [op.number(1, Number(pointer & 0xffffffffn) | 0, Number(pointer >> 32n) | 0), load, op.exit]
      const at = lines.map((line) => ({ ...line, insn: line.insn * 2 }))
      const error = thrown(() => loadOps(make(), ProgType.XDP, ops, {}, { lines: at }).run({ data: PACKET }))
      expect(error.code).toBe('trap')
      expect(error.where).toMatchObject({ program: 'test', insn: 2, sourceLine: 'a.c:8: return *p;' })
    })

    test('a write to the null page', () => {
      const ops = [op.mov(1, 8), op.store(4, 1, 0, 1), op.mov(0, 0), op.exit]
      const error = thrown(() => loadOps(make(), ProgType.XDP, ops).run({ data: PACKET }))
      expect([error.code, error.where.insn]).toEqual(['trap', 1])
      expect(error.message).toMatch(/write/)
    })

    test('a loop without end', () => {
      const vm = make({ fuel: 10_000 })
      const error = thrown(() => loadOps(vm, ProgType.XDP, [branchBack, op.exit]).run({ data: PACKET }))
      expect(error.code).toBe('trap')
    })

    test('calls without end', () => {
      const ops = [local(0, 0), op.exit]
      const error = thrown(() => loadOps(make(), ProgType.XDP, ops).run({ data: PACKET }))
      expect([error.code, error.where.program]).toEqual(['trap', 'test'])
      expect(error.message).toMatch(/too deep/)
    })

    test('the vm goes on after it', () => {
      const vm = make()
      const bad = loadOps(vm, ProgType.XDP, [op.mov(1, 0), op.load(4, 0, 1, 0), op.exit])
      const good = loadOps(vm, ProgType.XDP, [op.mov(0, 2), op.exit])
      thrown(() => bad.run({ data: PACKET }))
      expect(good.run({ data: PACKET }).retval).toBe(2)
    })
  })

  test('tracing programs read zero where there is no memory', () => {
    const ops = [op.load(8, 1, 1, 0), op.load(8, 0, 1, 16), op.add(0, 5), op.exit]
    const run = (type: number): (() => number) => {
      const loaded = loadOps(make(), type, ops)
      return () => loaded.run({ ctx: u64s(0xffff888012345678n) }).retval
    }
    expect(run(ProgType.TRACING)()).toBe(5)
    expect(thrown(run(ProgType.SYSCALL)).code).toBe('trap')
  })

  test('a helper that is missing is named at load', () => {
    const error = thrown(() => loadOps(make(), ProgType.XDP, [op.helper(HelperId.sys_bpf), op.exit]))
    expect(error.code).toBe('unsupported')
    expect(error.message).toMatch(/bpf_sys_bpf/)
    expect(error.where).toMatchObject({ program: 'test', insn: 0 })
  })

  test('a map that is missing is named at load', () => {
    const vm = make()
    const prepared = program('test', ProgType.XDP, [op.map(1), op.mov(0, 0), op.exit], ['flows'])
    const error = thrown(() => vm.loadProgram(request(prepared, {})))
    expect([error.code, error.where.map]).toEqual(['not-found', 'flows'])
  })

  test('clock, random numbers, CPU and task come from the options', () => {
    let now = 1000n
    const vm = make({
      clock: () => (now += 5n),
      random: () => 77,
      cpus: 4,
      task: { pid: 12, tgid: 34, uid: 56, gid: 78, comm: 'cat' },
    })
    const call = (id: number): bigint => {
      const ops = [
        op.movReg(6, 1),
        op.helper(id),
        { kind: 'store', size: 8, dst: 6, off: 0, src: 0, imm: 0 } as const,
        op.mov(0, 0),
        op.exit,
      ]
      const { ctx } = loadOps(vm, ProgType.SYSCALL, ops).run({ ctx: new Uint8Array(8), cpu: 3, flags: 1 })
      return new DataView(ctx!.buffer).getBigUint64(0, true)
    }
    expect(call(HelperId.ktime_get_ns)).toBe(1005n)
    expect(call(HelperId.get_prandom_u32)).toBe(77n)
    expect(call(HelperId.get_smp_processor_id)).toBe(3n)
    expect(call(HelperId.get_current_pid_tgid)).toBe((34n << 32n) | 12n)
    expect(call(HelperId.get_current_uid_gid)).toBe((78n << 32n) | 56n)
  })

  test('the same seed gives the same random numbers', () => {
    const numbers = (seed: number): number[] => {
      const loaded = loadOps(make({ seed }), ProgType.XDP, [op.helper(HelperId.get_prandom_u32), op.exit])
      return [1, 2, 3].map(() => loaded.run({ data: PACKET }).retval)
    }
    expect(numbers(5)).toEqual(numbers(5))
    expect(numbers(5)).not.toEqual(numbers(6))
    expect(new Set(numbers(5)).size).toBe(3)
  })

  test('a memory limit is an error of createMap, and small maps still fit', () => {
    const vm = make({ memoryLimit: 8 << 20 })
    const create = (entries: number): unknown => {
      const spec = mapSpec(MapType.ARRAY, 4, 64, entries)
      return vm.createMap({ spec, kernelName: 'm', btf: null, inner: null })
    }
    expect(thrown(() => create(1 << 20))).toMatchObject({ code: 'limit', errno: 'ENOMEM' })
    create(1 << 10)
  })

  test('trace lines are handed out', () => {
    const text = new TextEncoder().encode('n=%d\n\0\0\0')
    const word = new DataView(text.buffer)
    const ops = [
      op.number(1, word.getInt32(0, true), word.getInt32(4, true)),
      { kind: 'store', size: 8, dst: 10, off: -8, src: 1, imm: 0 } as const,
      op.movReg(1, 10),
      op.add(1, -8),
      op.mov(2, 6),
      op.mov(3, -3),
      op.helper(HelperId.trace_printk),
      op.exit,
    ]
    const { trace, retval } = loadOps(make(), ProgType.XDP, ops).run({ data: PACKET })
    expect(trace).toEqual(['n=-3'])
    expect(retval).toBe(5)
  })

  test('programs of one vm cannot use maps of another', () => {
    const spec = mapSpec(MapType.ARRAY, 4, 4, 1)
    const other = make().createMap({ spec, kernelName: 'm', btf: null, inner: null })
    const vm = make()
    const loaded = loadOps(vm, ProgType.XDP, [op.map(0), op.mov(0, 0), op.exit], {
      m: vm.createMap({ spec, kernelName: 'm', btf: null, inner: null }),
    })
    expect(loaded.run({ data: PACKET }).retval).toBe(0)
    expect(thrown(() => loadOps(vm, ProgType.XDP, [op.map(0), op.mov(0, 0), op.exit], { m: other })).code).toBe('usage')
  })

  test('a map that is closed lives on for the programs that use it', () => {
    const vm = make()
    const create = (valueSize: number): BackendMap =>
      vm.createMap({ spec: mapSpec(MapType.ARRAY, 4, valueSize, 1), kernelName: 'm', btf: null, inner: null })
    const map = create(8)
    map.update(new Uint8Array(4), u64s(42n))
    // Looks up key 0 and returns the value.
    const ops: Operation[] = [
      op.store(4, 10, -4, 0),
      op.movReg(2, 10),
      op.add(2, -4),
      op.map(1),
      op.helper(HelperId.map_lookup_elem),
      { kind: 'branch', op: 'eq', wide: true, dst: 0, src: null, imm: 0, target: 8 },
      op.load(8, 0, 0, 0),
      op.exit,
    ]
    const loaded = loadOps(vm, ProgType.XDP, ops, { m: map })
    map.close()
    // Would take the place of the closed map, were its memory free.
    create(8).update(new Uint8Array(4), u64s(13n))
    expect(loaded.run({ data: PACKET }).retval).toBe(42)
    expect(thrown(() => map.lookup(new Uint8Array(4))).code).toBe('closed')
    loaded.close()
    loaded.close()
  })

  test('is used no more once it is closed', () => {
    const vm = make()
    const map = vm.createMap({ spec: mapSpec(MapType.ARRAY, 4, 4, 1), kernelName: 'm', btf: null, inner: null })
    vm.close()
    vm.close()
    expect(thrown(() => map.lookup(new Uint8Array(4))).code).toBe('closed')
    expect(thrown(() => loadOps(vm, ProgType.XDP, [op.mov(0, 0), op.exit])).code).toBe('closed')
  })
})

test('options out of range are refused', () => {
  expect(thrown(() => createVm({ cpus: 0 })).code).toBe('usage')
})
