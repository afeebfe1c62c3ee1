import { assemble } from '../../src/isa/index.ts'
import { bareProgram, type BackendMap, type LateReference } from '../../src/loader/index.ts'
import type { Vm, VmProgram } from '../../src/vm/index.ts'

export interface TextProgramOptions {
  readonly attachType?: number
  /** Maps that `map[id:N]` stands for, by N. */
  readonly maps?: readonly BackendMap[]
}

/** Loads a program that is given as text, in the kernel's syntax; r1 is the context. */
export function loadText(vm: Vm, type: number, text: string, options: TextProgramOptions = {}): VmProgram {
  const insns = assemble(text)
  const maps = new Map<string, BackendMap>()
  const lateReferences: LateReference[] = []
  for (let insn = 0; insn < insns.length; insn++) {
    if (insns.code[insn] !== 0x18) continue
    const number = insns.imm[insn] as number
    const map = options.maps?.[number]
    if (insns.src[insn] === 1 && map !== undefined) {
      maps.set(`map${number}`, map)
      lateReferences.push({ kind: 'map', insn, map: `map${number}` })
      insns.imm[insn] = 0
    }
    insn++
  }
  const program = bareProgram(insns, { name: 'text', type, attachType: options.attachType ?? null }, { lateReferences })
  return vm.loadProgram({ program, license: 'GPL', version: 0, btf: null, maps, bindMaps: [], logLevel: 0 })
}
