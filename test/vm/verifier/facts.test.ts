import { describe, expect, test } from 'vitest'
import { assemble } from '../../../src/isa/index.ts'
import { bareProgram, type PreparedProgram } from '../../../src/loader/index.ts'
import { MapType, ProgType } from '../../../src/uapi/index.ts'
import { createVm, type VmOptions } from '../../../src/vm/index.ts'
import { factsOf, Outcome } from '../../../src/vm/facts.ts'
import { AccessKind, verify, type VerifyResult } from '../../../src/vm/verifier/index.ts'
import { mapSpec } from '../../support/program.ts'

/** Types of maps by number, for map[id:N]. */
const MAPS = [MapType.HASH, MapType.ARRAY, MapType.DEVMAP, MapType.RINGBUF]
const SPECS = Object.fromEntries(
  MAPS.map((type, i) => {
    const isRing = type === MapType.RINGBUF
    const value = type === MapType.DEVMAP ? 8 : 16
    return [`m${i}`, { ...mapSpec(type, isRing ? 0 : 4, isRing ? 0 : value, isRing ? 4096 : 8), name: `m${i}` }]
  }),
)

function prepared(text: string, type: number): PreparedProgram {
  const insns = assemble(text)
  const lateReferences: PreparedProgram['lateReferences'][number][] = []
  const starts = new Set([0])
  for (let insn = 0; insn < insns.length; insn++) {
    if (insns.code[insn] === 0x18) {
      lateReferences.push({ kind: 'map', insn, map: `m${insns.imm[insn]}` })
      insns.imm[insn++] = 0
    } else if (insns.code[insn] === 0x85 && insns.src[insn] === 1) starts.add(insn + 1 + (insns.imm[insn] ?? 0))
  }
  const functions = [...starts].sort((a, b) => a - b).map((start) => ({ name: `f${start}`, start, btfId: 0 }))
  return bareProgram(insns, { name: 'p', type }, { functions, lateReferences })
}

function verdict(text: string, type: number, facts: boolean): VerifyResult {
  return verify(prepared(text, type), { maps: SPECS, btf: null, kernelBtf: null, license: 'GPL', facts })
}

/** What was learned of the instructions with memory accesses, in order: kinds, and whether the vm takes it for proved. */
function learned(text: string, type: number = ProgType.XDP): { kinds: number[]; good: number[]; reached: number[] } {
  const result = verdict(text, type, true)
  expect(result.message).toBe(undefined)
  const { accesses, reached } = result.facts!
  const { goodAccess } = factsOf(result.facts!, assemble(text), type)
  const slots = [...accesses.keys()].filter((at) => accesses[at] !== 0)
  return { kinds: slots.map((at) => accesses[at]!), good: slots.map((at) => goodAccess[at]!), reached: [...reached] }
}

const LOOKUP = (map: number): string => `
  *(u32 *)(r10 -4) = 0
  r2 = r10
  r2 += -4
  r1 = map[id:${map}]
  call bpf_map_lookup_elem`
const PACKET = (data: number): string => `
  r2 = *(u32 *)(r1 +${data})
  r3 = *(u32 *)(r1 +${data + 4})
  r4 = r2
  r4 += 8
  if r4 > r3 goto out
  r0 = *(u64 *)(r2 +0)
  out:
  r0 = 0
  exit`
const { STACK, MAP_VALUE, PACKET: PKT, CONTEXT, SLICE, OTHER } = AccessKind

describe('what the walk learns of accesses', () => {
  test('stack, also of the caller', () => {
    const text = `
      r1 = r10
      r1 += -8
      *(u64 *)(r1 +0) = 7
      call callee
      exit
      callee:
      r0 = *(u64 *)(r1 +0)
      exit`
    expect(learned(text)).toMatchObject({ kinds: [STACK, STACK], good: [1, 1] })
  })

  test('values of maps', () => {
    const text = `${LOOKUP(0)}\nif r0 == 0 goto out\nr1 = 1\nlock *(u64 *)(r0 +8) += r1\nout:\nr0 = 0\nexit`
    expect(learned(text)).toMatchObject({ kinds: [STACK, MAP_VALUE], good: [1, 1] })
    expect(learned(`${LOOKUP(1)}\n*(u64 *)(r0 +8) = 1\nr0 = 0\nexit`)).toMatchObject({ good: [1, 1] })
  })

  test('values of maps that are no elements are not relied on', () => {
    const text = `${LOOKUP(2)}\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 +0)\nout:\nr0 = 0\nexit`
    expect(learned(text)).toMatchObject({ kinds: [STACK, OTHER], good: [1, 0] })
  })

  test('records of ring buffers', () => {
    const text = `
      r1 = map[id:3]
      r2 = 8
      r3 = 0
      call bpf_ringbuf_reserve
      if r0 == 0 goto out
      *(u64 *)(r0 +0) = 1
      r1 = r0
      r2 = 0
      call bpf_ringbuf_discard
      out:
      r0 = 0
      exit`
    expect(learned(text)).toMatchObject({ kinds: [SLICE], good: [1] })
  })

  test('packets, where the vm itself says where they are; contexts are not relied on', () => {
    const kinds = [CONTEXT, CONTEXT, PKT]
    expect(learned(PACKET(0), ProgType.XDP)).toMatchObject({ kinds, good: [0, 0, 1] })
    expect(learned(PACKET(76), ProgType.SCHED_CLS)).toMatchObject({ kinds, good: [0, 0, 1] })
    expect(learned(PACKET(76), ProgType.FLOW_DISSECTOR)).toMatchObject({ kinds, good: [0, 0, 0] })
  })

  test('an instruction that paths come to with different pointers', () => {
    const text = (other: string): string => `
      r6 = r1${LOOKUP(0)}
      if r0 != 0 goto access
      r0 = r10
      r0 += -8
      *(u64 *)(r0 +0) = 1
      ${other}
      access:
      r0 = *(u32 *)(r0 +0)
      exit`
    expect(learned(text(''))).toMatchObject({ kinds: [STACK, STACK, STACK | MAP_VALUE], good: [1, 1, 1] })
    const devmap = `${LOOKUP(2)}\nif r0 == 0 goto end`
    const mixed = `${text(devmap)}\nend:\nr0 = 0\nexit`
    expect(learned(mixed).kinds.at(-1)).toBe(MAP_VALUE | OTHER)
    expect(learned(mixed).good.at(-1)).toBe(0)
  })

  test('instructions that no path comes to', () => {
    expect(learned('r0 = 1\nif r0 == 1 goto out\nr0 = *(u64 *)(r1 +0)\nout:\nexit')).toMatchObject({
      kinds: [],
      reached: [1, 1, 0, 1],
    })
  })

  test('conditions that always go the same way, where the vm itself makes the context', () => {
    const text = (condition: string): string => `r0 = 1\n${condition} goto one\nr0 = 2\nexit\none:\nexit`
    const known = (condition: string, type: number = ProgType.XDP): number =>
      factsOf(verdict(text(condition), type, true).facts!, assemble(text(condition)), type).outcome[1]!
    expect(known('if r0 == 1')).toBe(Outcome.ALWAYS_TAKEN)
    expect(known('if r0 != 1')).toBe(Outcome.NEVER_TAKEN)
    expect(known('if r0 == 1', ProgType.RAW_TRACEPOINT)).toBe(Outcome.OPEN)
    // As in Linux, a way that is never taken stays when it leads to what others reach.
    const joined = 'r0 = 1\nif r0 != 1 goto out\nr0 = 2\nout:\nexit'
    const { outcome } = factsOf(verdict(joined, ProgType.XDP, true).facts!, assemble(joined), ProgType.XDP)
    expect([...outcome]).toEqual([0, Outcome.OPEN, 0, 0])
  })

  test('they are given only when they are asked for, of accepted programs', () => {
    expect(verdict('r0 = 0\nexit', ProgType.XDP, false)).not.toHaveProperty('facts')
    expect(verdict('r0 = r5\nexit', ProgType.XDP, true)).not.toHaveProperty('facts')
  })
})

/** Bytes of the modules that are compiled meanwhile. */
function moduleBytes(work: () => void): number {
  const { Module } = WebAssembly
  let bytes = 0
  const construct = (target: typeof Module, args: [BufferSource]): WebAssembly.Module => {
    bytes += args[0].byteLength
    return new target(...args)
  }
  WebAssembly.Module = new Proxy(Module, { construct })
  try {
    work()
  } finally {
    WebAssembly.Module = Module
  }
  return bytes
}

describe('verified programs in the vm', () => {
  const text = `
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 16
    r0 = 0
    if r4 > r3 goto out
    r5 = *(u16 *)(r2 +2)
    r5 &= 7
    r2 += r5
    r4 = r2
    r4 += 12
    if r4 > r3 goto out
    *(u8 *)(r2 +8) = 9
    r0 = *(u32 *)(r2 +4)
    out:
    exit`

  function run(options: VmOptions): { bytes: number; retval: number; data: Uint8Array | null } {
    const vm = createVm(options)
    const request = { program: prepared(text, ProgType.XDP), license: 'GPL', version: 0, btf: null, maps: new Map() }
    let result = { retval: 0, data: null as Uint8Array | null }
    const bytes = moduleBytes(() => {
      const loaded = vm.loadProgram({ ...request, bindMaps: [], logLevel: 0 })
      const { retval, data } = loaded.run({ data: Uint8Array.from({ length: 64 }, (_, i) => i) })
      result = { retval, data }
    })
    vm.close()
    return { bytes, ...result }
  }

  test('have smaller modules that do the same', () => {
    const [verified, unverified] = [run({}), run({ verify: false })]
    expect(verified.bytes).toBeGreaterThan(0)
    expect(verified.bytes).toBeLessThan(unverified.bytes)
    expect({ ...verified, bytes: 0 }).toEqual({ ...unverified, bytes: 0 })
  })

  test('may have calls of unknown helpers where no path comes to', () => {
    const dead = (register: number): string => `r6 = 1\nif r${register} != 0 goto out\ncall 9999\nout:\nr0 = 2\nexit`
    const load = (text: string, options: VmOptions): number => {
      const vm = createVm(options)
      try {
        const request = {
          program: prepared(text, ProgType.XDP),
          license: 'GPL',
          version: 0,
          btf: null,
          maps: new Map(),
        }
        return vm.loadProgram({ ...request, bindMaps: [], logLevel: 0 }).run({ data: new Uint8Array(64) }).retval
      } finally {
        vm.close()
      }
    }
    for (const useJit of [true, false]) {
      expect(load(dead(6), { jit: useJit })).toBe(2)
      expect(() => load(dead(6), { jit: useJit, verify: false })).toThrow('there is no helper #9999')
    }
  })

  test('keep their checks when the user supplies functions', () => {
    const random = { bpf_get_prandom_u32: () => 4 }
    expect(run({ helpers: random }).bytes).toBe(run({ helpers: random, verify: false }).bytes)
  })
})
