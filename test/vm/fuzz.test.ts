import { describe, expect, test } from 'vitest'
import { isBpfError } from '../../src/bytes/index.ts'
import { decode, InsnBuffer } from '../../src/isa/index.ts'
import type { PreparedProgram } from '../../src/loader/index.ts'
import { ProgType } from '../../src/uapi/index.ts'
import { createVm, type Vm } from '../../src/vm/index.ts'
import { generator, type Generator } from '../oracle/vm-inputs.mjs'
import { program } from '../support/program.ts'

const FUEL = 5000
const HELPERS = [1, 2, 3, 4, 6, 7, 8, 9, 14, 15, 16, 25, 26, 28, 44, 54, 65, 112, 113, 131, 132, 164, 181]

/** One slot (or two) that decodes, with memory accesses mostly to the stack and jumps mostly inside. */
function randomSlot(r: Generator, insns: InsnBuffer, at: number): number {
  const left = insns.length - at - 2
  for (let attempt = 0; attempt < 100; attempt++) {
    const code = r.below(256)
    const cls = code & 7
    insns.code[at] = code
    insns.dst[at] = r.below(11)
    insns.src[at] = r.below(11)
    insns.off[at] = 0
    insns.imm[at] = r.chance(50) ? 0 : r.chance(80) ? r.below(64) - 16 : r.u32()
    if (cls === 5 || cls === 6) insns.off[at] = r.chance(85) ? Math.min(left, r.below(5)) : r.below(9) - 8
    if (cls >= 1 && cls <= 3) {
      insns.off[at] = r.chance(90) ? -8 * (1 + r.below(8)) : r.u32()
      const base = r.pick([1, 10, 10, 6])
      if (cls === 1) insns.src[at] = base
      else insns.dst[at] = base
    }
    if (code === 0x85) {
      insns.src[at] = 0
      insns.imm[at] = r.chance(95) ? r.pick(HELPERS) : r.u32()
    }
    if (code === 0x18) {
      if (left < 1) continue
      insns.src[at] = 0
      insns.imm[at + 1] = r.chance(80) ? 0 : r.u32()
    }
    try {
      decode(insns, at)
      return code === 0x18 ? 2 : 1
    } catch {
      // Most random slots are malformed; the fuzzers of the decoder are about those.
      insns.imm.fill(0, at, at + 2)
    }
  }
  return 1
}

function randomProgram(seed: number): PreparedProgram {
  const r = generator(seed)
  const insns = new InsnBuffer(4 + r.below(30))
  for (let at = 0; at < insns.length - 1;) at += randomSlot(r, insns, at)
  insns.code[insns.length - 1] = 0x95
  for (const column of [insns.dst, insns.src, insns.off, insns.imm]) column[insns.length - 1] = 0
  return { ...program('fuzzed', r.chance(50) ? ProgType.XDP : ProgType.SCHED_CLS, []), insns }
}

function outcome(vm: Vm, prepared: PreparedProgram): string {
  try {
    const loaded = vm.loadProgram({
      program: prepared,
      license: 'GPL',
      version: 0,
      btf: null,
      maps: new Map(),
      bindMaps: [],
      logLevel: 0,
    })
    const { retval, data } = loaded.run({ data: new Uint8Array(64).fill(7) })
    loaded.close()
    return `${retval} ${data!.join()}`
  } catch (error) {
    if (!isBpfError(error)) throw error
    // Loops are counted where they are closed, so the last instruction is not the same.
    if (error.message.startsWith('no end after')) return 'no end'
    return error.code === 'trap' ? `trap at ${error.where.insn}` : 'refused'
  }
}

describe('any program gives a result or a BpfError, the same from all engines', () => {
  test.each(Array.from({ length: 8 }, (_, group) => ({ group })))('group $group', ({ group }) => {
    const options = { fuel: FUEL, clock: () => 7n }
    let ran = 0
    for (let i = 0; i < 150; i++) {
      const prepared = randomProgram(group * 1000 + i + 1)
      // A new machine each time: what a program left on the stack, which the next one may read, is not the same.
      const engines = [true, false, 'quick'] as const
      const results = engines.map((jit) => outcome(createVm({ verify: false, ...options, jit }), prepared))
      expect(results.slice(1), `program ${group * 1000 + i + 1}`).toEqual([results[0], results[0]])
      if (results[0] !== 'refused') ran++
    }
    expect(ran).toBeGreaterThan(20)
  })
})
