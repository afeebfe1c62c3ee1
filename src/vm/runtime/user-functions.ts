import { BpfError, decodeUtf8 } from '../../bytes/index.ts'
import { HelperId, helperName } from '../../uapi/index.ts'
import { Trap } from '../trap.ts'
import type { Helper } from './helpers/helper.ts'
import { helperOf } from './helpers/index.ts'
import { KFUNCS } from './kfuncs.ts'
import type { Runtime } from './runtime.ts'

/** Memory of the vm as functions of the user see it. Addresses are those that programs have in registers. */
export interface ProgramMemory {
  /** A copy of `size` bytes. @throws Trap where there is no memory: the run ends */
  read(address: bigint | number, size: number): Uint8Array
  /** @throws Trap where there is no memory: the run ends */
  write(address: bigint | number, bytes: Uint8Array): void
  /** Text up to its zero byte, at most `limit` bytes (default 4096). */
  string(address: bigint | number, limit?: number): string
  /** Zeroed bytes that stay for as long as the vm, for what a function gives a pointer to. */
  allocate(size: number): bigint
}

/**
 * A helper or kernel function that the user supplies: gets r1 to r5 and gives r0 (nothing: 0). A number is taken as it
 * is, negative ones as errno.
 */
export type UserFunction = (args: readonly bigint[], memory: ProgramMemory) => bigint | number | void

export type UserFunctions = Readonly<Record<string, UserFunction>>

/** The helpers and kernel functions of one vm: its own, and what the user supplies or replaces. */
export class FunctionSet {
  readonly #helpers: ReadonlyMap<number, Helper>
  readonly #names: readonly string[]
  readonly #kfuncs: readonly Helper[]

  /** @throws BpfError `usage` for a helper that does not exist */
  constructor(helpers: UserFunctions, kfuncs: UserFunctions) {
    this.#helpers = new Map(Object.entries(helpers).map(([name, work]) => [helperNumber(name), adapted(work)]))
    const all = new Map<string, Helper>(Object.entries(KFUNCS))
    for (const [name, work] of Object.entries(kfuncs)) all.set(name, adapted(work))
    this.#names = [...all.keys()]
    this.#kfuncs = [...all.values()]
  }

  /** The helper with an id; undefined when there is none. bpf_tail_call (12) is the engines'. */
  helper(id: number): Helper | undefined {
    return this.#helpers.get(id) ?? helperOf(id)
  }

  /** Whether the user has put one in the place of a helper, which engines must then call. */
  replaces(id: number): boolean {
    return this.#helpers.has(id)
  }

  /** The number that stands for a kernel function in a call of the vm, above 0; 0 when it is not there. */
  kfuncNumber(name: string): number {
    // bpf_obj_new___v2 and the like are versions of one function.
    return this.#names.indexOf(name.split('___')[0] as string) + 1
  }

  kfunc(number: number): Helper | undefined {
    return this.#kfuncs[number - 1]
  }
}

function helperNumber(name: string): number {
  const id = (HelperId as Readonly<Record<string, number>>)[name.replace(/^bpf_/, '')]
  if (id === undefined || helperName(id) === undefined) {
    throw new BpfError('usage', `option helpers has ${name}, which is no helper of the kernel`)
  }
  if (id === HelperId.tail_call) throw new BpfError('usage', 'bpf_tail_call cannot be replaced')
  return id
}

function adapted(work: UserFunction): Helper {
  return (rt) => {
    const args = [1, 2, 3, 4, 5].map((register) => rt.arg64(register))
    return work(args, memoryOf(rt)) ?? 0
  }
}

function memoryOf(rt: Runtime): ProgramMemory {
  const checked = (address: bigint | number, size: number): number => {
    const at = Number(address)
    if (size < 0 || !rt.isMemory(at, size)) {
      throw new Trap('memory', `a function of the user reached for ${size} bytes at 0x${at.toString(16)}`)
    }
    return at
  }
  return {
    read: (address, size) => rt.memory.read(checked(address, size), size),
    write: (address, bytes) => {
      rt.memory.write(checked(address, bytes.length), bytes)
    },
    string: (address, limit = 4096) => decodeUtf8(rt.memory.cString(checked(address, 1), limit) ?? new Uint8Array(0)),
    allocate: (size) => BigInt(rt.memory.allocate(size)),
  }
}
