import { isBpfError } from '../../bytes/index.ts'
import { InsnBuffer, assemble, formAt, slotsAt, type IsaVersion } from '../../isa/index.ts'
import { bareProgram, mapSpec, type LateReference, type PreparedProgram } from '../../loader/index.ts'
import { ProgType } from '../../uapi/index.ts'
import { createVm, type VmMap } from '../../vm/index.ts'
import type { ConformanceCase } from './parse.ts'

export type ConformanceEngine = 'jit' | 'interpreter'

/** What became of a case. */
export interface ConformanceOutcome {
  readonly name: string
  readonly passed: boolean
  /** What ran it. */
  readonly engine: ConformanceEngine
  /** Value of r0, unsigned; null when it failed. */
  readonly result: bigint | null
  /** Why the program was refused or stopped. */
  readonly error: string | null
  /** What was expected instead, null when it passed. */
  readonly expected: string | null
}

/** Backward jumps and calls until a program counts as hanging. */
const FUEL = 1 << 26
/** Room for r0 in front of the memory. */
const RESULT = 8

/** Runs a case in a virtual machine of its own. */
export function runConformance(test: ConformanceCase, engine: ConformanceEngine = 'jit'): ConformanceOutcome {
  const told = runProgram(test, engine)
  const common = { name: test.name, engine, ...told }
  if (test.error !== null) {
    const passed = told.error !== null
    return { ...common, passed, expected: passed ? null : `an error${test.error === '' ? '' : `: ${test.error}`}` }
  }
  const passed = told.result === test.result
  return { ...common, passed, expected: passed ? null : `0x${(test.result ?? 0n).toString(16)}` }
}

/** Runs a program with r1 = memory and r2 = its length, and gives all 64 bits of r0. */
export function runProgram(
  program: Pick<ConformanceCase, 'insns' | 'memory' | 'maps' | 'mapReferences'>,
  engine: ConformanceEngine = 'jit',
): { result: bigint | null; error: string | null } {
  const vm = createVm({ verify: false, jit: engine === 'jit', fuel: FUEL })
  try {
    const maps = new Map<string, VmMap>()
    program.maps.forEach((map, index) => {
      const made = vm.createMap({ spec: mapSpec(map), kernelName: map.name, btf: null, inner: null })
      maps.set(map.name, made)
      maps.set(String(index), made)
    })
    const loaded = vm.loadProgram({
      program: wrap(program),
      license: 'GPL',
      version: 0,
      btf: null,
      maps,
      bindMaps: [],
      logLevel: 0,
    })
    const ctx = new Uint8Array(RESULT + program.memory.length)
    ctx.set(program.memory, RESULT)
    const out = loaded.run({ ctx }).ctx ?? ctx
    return { result: new DataView(out.buffer, out.byteOffset).getBigUint64(0, true), error: null }
  } catch (error) {
    if (!isBpfError(error)) throw error
    return { result: null, error: error.message }
  } finally {
    vm.close()
  }
}

/**
 * The program as a function of one that hands it the memory and keeps its result: a run of the vm gives 32 bits of r0
 * only. The memory lies behind the result in the context.
 */
function wrap({
  insns,
  memory,
  mapReferences,
}: Pick<ConformanceCase, 'insns' | 'memory' | 'mapReferences'>): PreparedProgram {
  const head = assemble(
    `
    r6 = r1
    ${memory.length === 0 ? 'r1 = 0' : `r1 += ${RESULT}`}
    r2 = ${memory.length}
    call main
    *(u64 *)(r6 + 0) = r0
    r0 = 0
    exit
    main:`,
  )
  const all = new InsnBuffer(head.length + insns.length)
  all.set(head, 0)
  all.set(insns, head.length)
  const lateReferences: LateReference[] = Array.from(mapReferences, ([slot, map]) => ({
    kind: 'map',
    insn: slot + head.length,
    map,
  }))
  const starts = new Set([0, head.length])
  for (let at = head.length; at < all.length; at += slotsAt(all, at)) {
    if (all.code[at] === 0x85 && all.src[at] === 1) starts.add(at + 1 + (all.imm[at] as number))
  }
  const functions = Array.from(starts)
    .filter((start) => start >= 0 && start < all.length)
    .sort((a, b) => a - b)
    .map((start) => ({ name: start === 0 ? 'conformance' : `function_${start - head.length}`, start, btfId: 0 }))
  return bareProgram(all, { name: 'conformance', type: ProgType.SYSCALL }, { functions, lateReferences })
}

/** Conformance groups of RFC 9669, section 2.4, and callx, which is outside of it. */
export const CONFORMANCE_GROUPS = [
  'base32',
  'base64',
  'divmul32',
  'divmul64',
  'atomic32',
  'atomic64',
  'packet',
  'callx',
] as const
export type ConformanceGroup = (typeof CONFORMANCE_GROUPS)[number]

/** What a program needs of a runtime. */
export interface ConformanceNeeds {
  readonly groups: readonly ConformanceGroup[]
  /** As clang's -mcpu counts, 1 to 4; 5 for what no version has (callx, Linux's own). */
  readonly version: number
}

/** Groups and version of the instructions of a program. @throws BpfError `malformed` */
export function conformanceNeeds(insns: InsnBuffer): ConformanceNeeds {
  const groups = new Set<ConformanceGroup>()
  let version = 1
  for (let at = 0; at < insns.length; at += slotsAt(insns, at)) {
    const { semantics, isa } = formAt(insns, at)
    version = Math.max(version, versionOf(isa))
    switch (semantics.kind) {
      case 'alu': {
        const slow = ['mul', 'div', 'mod', 'sdiv', 'smod'].includes(semantics.op)
        groups.add(slow ? (semantics.wide ? 'divmul64' : 'divmul32') : semantics.wide ? 'base64' : 'base32')
        break
      }
      case 'atomic':
        groups.add(semantics.size === 8 ? 'atomic64' : 'atomic32')
        break
      case 'loadAbs':
      case 'loadInd':
        groups.add('packet')
        break
      case 'call':
        groups.add(semantics.call === 'register' ? 'callx' : 'base32')
        break
      case 'load':
      case 'store':
      case 'loadAcquire':
      case 'storeRelease':
        groups.add(semantics.size === 8 ? 'base64' : 'base32')
        break
      case 'loadImm64':
        groups.add('base64')
        break
      case 'branch':
        groups.add(semantics.wide ? 'base64' : 'base32')
        break
      case 'endian':
      case 'jump':
      case 'mayGoto':
      case 'exit':
      case 'gotox':
      case 'addrSpaceCast':
        groups.add('base32')
        break
    }
  }
  return { groups: CONFORMANCE_GROUPS.filter((group) => groups.has(group)), version }
}

function versionOf(isa: IsaVersion): number {
  return isa === 'linux' ? 5 : isa
}
