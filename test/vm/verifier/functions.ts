// Programs of several functions, as text, for the verifier and for the kernel.
import { type Btf, BtfKind } from '../../../src/btf/index.ts'
import { assemble } from '../../../src/isa/index.ts'
import {
  bareProgram,
  type LateReference,
  mapSpec,
  type MapSpec,
  type PreparedProgram,
  type ProgramFunction,
} from '../../../src/loader/index.ts'
import { MapType, ProgFlag, ProgType } from '../../../src/uapi/index.ts'
import { verify, type VerifyResult } from '../../../src/vm/verifier/index.ts'
import { pointer, struct, types } from './kernel-functions.ts'

/** Functions by how they are declared: `static int f(void *)`, `static void f(void *)`, global `int f(long)` or `int f(long, long)`. */
const DECLARED = {
  static: { returns: 'int', params: ['*void'], linkage: 0 },
  void: { returns: 'void', params: ['*void'], linkage: 0 },
  global: { returns: 'int', params: ['long'], linkage: 1 },
  global2: { returns: 'int', params: ['long', 'long'], linkage: 1 },
  packet: { returns: 'int', params: ['*__sk_buff'], linkage: 1 },
} as const

/** struct value { struct bpf_timer timer; struct bpf_wq work; long plain; } */
export const VALUE = { size: 40, timer: 0, work: 16, plain: 32 } as const

/** BTF of a program: the value's structure (always the same id), main, its functions, the names that main is tagged with. */
function describeProgram(
  functions: readonly (readonly [name: string, as: keyof typeof DECLARED])[],
  tags: readonly string[],
): { btf: Btf; value: number; int: number; ids: ReadonlyMap<string, number> } {
  const { builder, int, long } = types()
  const special = (name: string): number => struct(builder, name, 16, [['opaque', long, 0]])
  const value = struct(builder, 'value', VALUE.size, [
    ['timer', special('bpf_timer'), VALUE.timer],
    ['work', special('bpf_wq'), VALUE.work],
    ['plain', long, VALUE.plain],
  ])
  const skb = struct(builder, '__sk_buff', 4, [['len', int, 0]])
  const named = { void: 0, int, long, '*void': pointer(builder, 0), '*__sk_buff': pointer(builder, skb) }
  const add = (name: string, as: keyof typeof DECLARED, linkage: 0 | 1): number => {
    const { returns, params } = DECLARED[as]
    const type = builder.add({
      kind: BtfKind.FUNC_PROTO,
      returnType: named[returns],
      params: params.map((param, i) => ({ name: `a${i}`, type: named[param] })),
    })
    return builder.add({ kind: BtfKind.FUNC, name, type, linkage })
  }
  const main = add('p', 'static', 1)
  const ids = new Map([['p', main]])
  for (const [name, as] of functions) ids.set(name, add(name, as, DECLARED[as].linkage))
  for (const name of tags) {
    builder.add({ kind: BtfKind.DECL_TAG, name, type: main, componentIndex: -1, kindFlag: false })
  }
  return { btf: builder.toBtf(), value, int, ids }
}

/** Types of the maps; those of all programs have the same ids. */
export const MAP_TYPES = describeProgram([], [])

function map(name: string, type: number, valueSize: number, valueTypeId: number): MapSpec {
  const keyTypeId = valueTypeId === 0 ? 0 : MAP_TYPES.int
  return mapSpec({ name, type, keySize: 4, valueSize, maxEntries: 1, keyTypeId, valueTypeId })
}

/** `values` and `others` hold struct value; `plain` has no BTF; `programs` takes tail calls. */
export const MAPS: Readonly<Record<string, MapSpec>> = {
  values: map('values', MapType.ARRAY, VALUE.size, MAP_TYPES.value),
  others: map('others', MapType.ARRAY, VALUE.size, MAP_TYPES.value),
  plain: map('plain', MapType.ARRAY, VALUE.size, 0),
  programs: map('programs', MapType.PROG_ARRAY, 4, 0),
}

export interface FunctionsOptions {
  readonly type?: number
  /** Tags of main. */
  readonly tags?: readonly string[]
}

/**
 * A program from text. It begins with main; `static NAME:` and the like (see DECLARED) begin other functions. `rN = &NAME`
 * is the address of a function, `rN = map NAME` a map, `call NAME` a function of the kernel that `kernelId` knows, a
 * helper or a function of the program.
 */
export function programOf(
  text: string,
  kernelId: (name: string) => number | undefined,
  { type = ProgType.SCHED_CLS, tags = [] }: FunctionsOptions = {},
): { program: PreparedProgram; btf: Btf } {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  const starts = new Map<string, number>()
  const functions: (readonly [string, keyof typeof DECLARED])[] = []
  const addresses: { line: number; slot: number; name: string }[] = []
  const lateReferences: LateReference[] = []
  let slot = 0
  const assembled = lines.map((line, i) => {
    const header = /^(static|void|global|global2|packet) (\w+):$/.exec(line)
    if (header !== null) {
      const name = header[2] as string
      starts.set(name, slot)
      functions.push([name, header[1] as keyof typeof DECLARED])
      return `${name}:`
    }
    if (line.endsWith(':')) return line
    const at = slot++
    const name = /^call (\w+)$/.exec(line)?.[1] ?? ''
    const btfId = kernelId(name)
    if (btfId !== undefined) {
      lateReferences.push({ kind: 'kfunc', insn: at, name, btfId, module: null, weak: false })
      return `call kernel-function#${btfId}`
    }
    const load = /^(r\d) = (&|map )(\w+)$/.exec(line)
    if (load === null) return line
    slot++
    if (load[2] === '&') addresses.push({ line: i, slot: at, name: load[3] as string })
    else lateReferences.push({ kind: 'map', insn: at, map: load[3] as string })
    return `${load[1]} = map[id:0]`
  })
  for (const { line, slot: at, name } of addresses) {
    const start = starts.get(name)
    if (start === undefined) throw new Error(`no function ${name}`)
    assembled[line] = (assembled[line] as string).replace('map[id:0]', `subprog[${start - at - 1}]`)
  }
  const { btf, ids } = describeProgram(functions, tags)
  const placed: ProgramFunction[] = [['p', 0] as const, ...starts].map(([name, start]) => ({
    name,
    start,
    btfId: ids.get(name) ?? 0,
  }))
  const insns = assemble(assembled.join('\n'))
  const flags = type === ProgType.SYSCALL ? ProgFlag.SLEEPABLE : 0
  return { program: bareProgram(insns, { name: 'p', type, flags }, { functions: placed, lateReferences }), btf }
}

/** The verdict of elfbee. */
export function judgeFunctions(
  text: string,
  kernel: { readonly btf: Btf; readonly id: (name: string) => number | undefined },
  options: FunctionsOptions = {},
): VerifyResult {
  const { program, btf } = programOf(text, kernel.id, options)
  return verify(program, { maps: MAPS, btf, kernelBtf: kernel.btf, license: 'GPL' })
}
