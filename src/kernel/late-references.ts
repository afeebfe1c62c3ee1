import { readFileSync } from 'node:fs'
import { BpfError } from '../bytes/index.ts'
import { CallPseudo, LdImm64Pseudo, type InsnBuffer } from '../isa/index.ts'
import type { LateReference, PreparedProgram } from '../loader/index.ts'
import { createJumpTable } from './jump-table.ts'
import { openModuleBtf } from './kernel-btf.ts'
import { closeFd } from './syscall.ts'

/** libbpf's marks for what is missing: the verifier refuses the call, but only where the code can be reached. */
const MISSING_MAP = 2_001_000_000
const MISSING_KFUNC = 2_002_000_000
const CALL = 0x85
const KALLSYMS = '/proc/kallsyms'

/** Instructions with everything resolved that only this kernel knows. */
export interface ResolvedProgram {
  readonly insns: InsnBuffer
  /** BTF descriptors of modules; kernel function calls hold an index into it. Slot 0 stays unused (vmlinux). */
  readonly fdArray: readonly number[]
  /** What each poisoned call stands for, by its immediate. */
  readonly missing: ReadonlyMap<number, string>
  /** Closes the module BTFs and jump tables, which a loaded program keeps by itself. */
  close(): void
}

/**
 * Puts descriptors, BTF ids and addresses in the instructions' place holders, in a copy.
 * @param mapFd descriptor of a map by name, null when it was not created
 * @throws BpfError `not-found`, `ambiguous`, `syscall`
 */
export function resolveReferences(program: PreparedProgram, mapFd: (name: string) => number | null): ResolvedProgram {
  const insns = program.insns.slice()
  const modules = new Map<string, number>()
  const fdArray: number[] = [0]
  const missing = new Map<number, string>()
  const tables = new Map<string, number>()
  const close = (): void => {
    for (const fd of [...modules.values(), ...tables.values()]) closeFd(fd)
    modules.clear()
    tables.clear()
  }
  const tableFd = (targets: readonly number[]): number => {
    const key = targets.join()
    const fd = tables.get(key) ?? createJumpTable(targets)
    tables.set(key, fd)
    return fd
  }
  const moduleFd = (module: string): number => {
    const known = modules.get(module)
    if (known !== undefined) return known
    const fd = openModuleBtf(module)
    modules.set(module, fd)
    fdArray.push(fd)
    return fd
  }
  const poison = (slot: number, imm: number, what: string): void => {
    setCall(insns, slot, CallPseudo.HELPER, 0, imm)
    missing.set(imm, what)
  }

  const resolve = (reference: LateReference, index: number): void => {
    const slot = reference.insn
    switch (reference.kind) {
      case 'map':
      case 'mapValue': {
        const fd = mapFd(reference.map)
        if (fd === null) {
          const what = `map ${reference.map}, which was not created`
          poison(slot, MISSING_MAP + index, what)
          poison(slot + 1, MISSING_MAP + index, what)
          return
        }
        const isValue = reference.kind === 'mapValue'
        setLoad(
          insns,
          slot,
          isValue ? LdImm64Pseudo.MAP_VALUE : LdImm64Pseudo.MAP_FD,
          fd,
          isValue ? reference.offset : 0,
        )
        return
      }
      case 'ksymBtf': {
        const fd = reference.module === null ? 0 : moduleFd(reference.module)
        setLoad(insns, slot, LdImm64Pseudo.BTF_ID, reference.btfId, fd)
        return
      }
      case 'ksymAddress': {
        const address = kernelSymbol(reference.name)
        if (address === null && !reference.weak) {
          throw new BpfError('not-found', `${KALLSYMS} has no symbol "${reference.name}"`, {
            where: { program: program.spec.name, symbol: reference.name, insn: slot },
          })
        }
        const value = address ?? 0n
        setLoad(insns, slot, LdImm64Pseudo.NONE, Number(value & 0xffff_ffffn), Number(value >> 32n))
        return
      }
      case 'kfunc': {
        if (reference.btfId === 0) {
          poison(slot, MISSING_KFUNC + index, `kernel function ${reference.name}, which this kernel does not have`)
          return
        }
        const entry = reference.module === null ? 0 : fdArray.indexOf(moduleFd(reference.module))
        setCall(insns, slot, CallPseudo.KFUNC, entry, reference.btfId)
        return
      }
      case 'jumpTable':
        setLoad(insns, slot, LdImm64Pseudo.MAP_VALUE, tableFd(reference.targets), 0)
    }
  }
  try {
    program.lateReferences.forEach(resolve)
  } catch (error) {
    close()
    throw error
  }
  return { insns, fdArray, missing, close }
}

function setLoad(insns: InsnBuffer, slot: number, pseudo: number, low: number, high: number): void {
  insns.src[slot] = pseudo
  insns.imm[slot] = low
  insns.imm[slot + 1] = high
}

function setCall(insns: InsnBuffer, slot: number, pseudo: number, off: number, imm: number): void {
  insns.code[slot] = CALL
  insns.dst[slot] = 0
  insns.src[slot] = pseudo
  insns.off[slot] = off
  insns.imm[slot] = imm
}

let symbols: Map<string, bigint | 'ambiguous'> | undefined

/** Address of a kernel symbol, null when there is none. @throws BpfError `ambiguous`, `unsupported` (addresses hidden) */
export function kernelSymbol(name: string): bigint | null {
  symbols ??= readSymbols()
  const address = symbols.get(name)
  if (address === 'ambiguous') {
    throw new BpfError('ambiguous', `${KALLSYMS} has several symbols "${name}" at different addresses`, {
      where: { symbol: name },
    })
  }
  if (address === 0n) {
    throw new BpfError('unsupported', `${KALLSYMS} hides addresses (kernel.kptr_restrict, or no CAP_SYSLOG)`, {
      where: { symbol: name },
    })
  }
  return address ?? null
}

/** Whether the kernel has a symbol of this name, at whatever address. */
export function hasKernelSymbol(name: string): boolean {
  symbols ??= readSymbols()
  return symbols.has(name)
}

function readSymbols(): Map<string, bigint | 'ambiguous'> {
  const found = new Map<string, bigint | 'ambiguous'>()
  let text: string
  try {
    text = readFileSync(KALLSYMS, 'latin1')
  } catch {
    return found
  }
  // Data symbols may carry a suffix of link-time optimisation, which C code does not know.
  const pattern = /^([0-9a-f]+) (\S) ([^\s]+)/gm
  for (const [, hex = '', type = '', raw = ''] of text.matchAll(pattern)) {
    const name = type === 'd' ? raw.replace(/\.llvm\..*$/, '') : raw
    const address = BigInt(`0x${hex}`)
    const known = found.get(name)
    found.set(name, known === undefined || known === address ? address : 'ambiguous')
  }
  return found
}
