import type { Operation } from '../../isa/index.ts'
import { LdImm64Pseudo } from '../../isa/index.ts'
import { MapType } from '../../uapi/index.ts'
import { accessKind } from './accesses.ts'
import { stepAddrSpaceCast, stepAlu, stepEndian } from './alu.ts'
import { stepBranch } from './branch.ts'
import { stepCall } from './calls/call.ts'
import { returnToCaller, stepExit } from './calls/exit.ts'
import { Bounds, constant, valueOf } from './domain/bounds.ts'
import { checkUnmodified } from './context/access.ts'
import { access } from './memory/access.ts'
import { isSecret, keepSecret } from './privilege.ts'
import { clobberArguments, readReg, writeReg } from './registers.ts'
import { deny, invalid, unsupported } from './reject.ts'
import {
  Flag,
  isPacketPointer,
  isSocketKind,
  pointerReg,
  type Reg,
  regName,
  scalarReg,
  unknownReg,
} from './state/register.ts'
import { BtfKind } from '../../btf/index.ts'
import { widenFrom } from './widen.ts'
import { checkNoResources } from './calls/resources.ts'
import type { Walk } from './walk.ts'

/** Executes the current instruction; `exit` when the path has ended. */
export function step(walk: Walk): 'next' | 'exit' {
  const op = walk.op(walk.insn)
  if (walk.facts.malformed.size > 0) checkWellFormed(walk)
  switch (op.kind) {
    case 'alu':
      stepAlu(walk, op)
      break
    case 'endian':
      stepEndian(walk, op)
      break
    case 'addrSpaceCast':
      stepAddrSpaceCast(walk, op)
      break
    case 'loadImm64':
      stepImmediate(walk, op)
      walk.insn++
      break
    case 'load':
    case 'loadAcquire':
      stepLoad(walk, op)
      break
    case 'store':
    case 'storeRelease':
      stepStore(walk, op)
      break
    case 'atomic':
      stepAtomic(walk, op)
      break
    case 'loadAbs':
    case 'loadInd':
      if (stepLegacyLoad(walk, op)) return 'next'
      break
    case 'jump':
      walk.jumpsProcessed++
      walk.insn = op.target
      return 'next'
    case 'gotox':
      return unsupported('indirect jumps')
    case 'branch':
      walk.jumpsProcessed++
      stepBranch(walk, op)
      return 'next'
    case 'mayGoto': {
      walk.jumpsProcessed++
      const other = walk.push(walk.insn + 1, walk.insn, 'ENOMEM')
      other.mayGotoDepth++
      widenFrom(walk, other)
      walk.insn = op.target
      return 'next'
    }
    case 'call': {
      walk.jumpsProcessed++
      const outcome = stepCall(walk, op)
      if (outcome === 'exit') return 'exit'
      if (outcome) return 'next'
      break
    }
    case 'exit':
      walk.jumpsProcessed++
      return stepExit(walk)
  }
  walk.insn++
  return 'next'
}

function checkWellFormed(walk: Walk): void {
  const words = walk.facts.malformed.get(walk.insn)
  if (words !== undefined) invalid(words)
}

function stepImmediate(walk: Walk, op: Extract<Operation, { kind: 'loadImm64' }>): void {
  if (op.pseudo === LdImm64Pseudo.NONE) {
    const target = walk.facts.immediates.get(walk.insn)
    if (target === undefined) return writeReg(walk, op.dst, scalarReg(Bounds.known(op.high, op.low)))
  }
  if (op.pseudo === LdImm64Pseudo.FUNC) {
    const target = walk.insn + 1 + op.low
    const sub = walk.facts.subprograms.find((s) => s.start === target)
    if (sub === undefined) return invalid('invalid func pointer')
    const hasFuncInfo = walk.facts.btf !== null && walk.facts.subprograms.every(({ btfId }) => btfId !== 0)
    if (!hasFuncInfo) invalid('missing btf func_info')
    if (sub.global) invalid('callback function not static')
    const reg = pointerReg('func')
    reg.subprog = sub.index
    return writeReg(walk, op.dst, reg)
  }
  const target = walk.facts.immediates.get(walk.insn)
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (target?.kind) {
    case 'map': {
      if (target.map.type === MapType.ARENA)
        return (writeReg(walk, op.dst, pointerReg('map_ptr')), setMap(walk, op.dst, target.map))
      writeReg(walk, op.dst, pointerReg('map_ptr'))
      return setMap(walk, op.dst, target.map)
    }
    case 'mapValue': {
      if (target.map.type === MapType.ARENA) return writeReg(walk, op.dst, unknownReg())
      const reg = pointerReg('map_value')
      reg.map = target.map
      reg.off = target.offset
      // The map has one value, so that all such pointers are the same lock: no identity.
      return writeReg(walk, op.dst, reg)
    }
    case 'ksymBtf':
      return writeReg(walk, op.dst, kernelSymbol(walk, target.btfId))
    case 'ksymAddress':
      return writeReg(walk, op.dst, unknownReg())
    default:
      return unsupported('this 64-bit immediate')
  }
}

function setMap(walk: Walk, dst: number, map: NonNullable<Reg['map']>): void {
  const reg = walk.reg(dst).clone()
  reg.map = map
  walk.set(dst, reg)
}

/** Address of a kernel variable: a structure by BTF, or plain memory. */
function kernelSymbol(walk: Walk, btfId: number): Reg {
  const btf = walk.facts.kernelBtf
  if (btfId === 0) return scalarReg(constant(0))
  if (btf === null) return unsupported('kernel symbols without BTF')
  const symbol = btf.type(btfId)
  if (symbol.kind === BtfKind.FUNC) {
    const reg = pointerReg('mem', Flag.RDONLY)
    reg.memSize = 0
    return reg
  }
  if (symbol.kind !== BtfKind.VAR) return unsupported('this kernel symbol')
  const type = btf.skipModifiersAndTypedefs(symbol.type)
  const kind = btf.kind(type)
  const percpu = isPercpu(walk, btfId)
  if (percpu) {
    const reg = pointerReg('ptr_', Flag.PERCPU)
    reg.btfId = type
    return reg
  }
  if (kind === BtfKind.STRUCT || kind === BtfKind.UNION) {
    const reg = pointerReg('ptr_')
    reg.btfId = type
    return reg
  }
  const reg = pointerReg('mem', Flag.RDONLY)
  reg.memSize = btf.sizeOf(type)
  return reg
}

function isPercpu(walk: Walk, btfId: number): boolean {
  const btf = walk.facts.kernelBtf
  const id = btf?.findByName('.data..percpu', BtfKind.DATASEC)
  if (btf === null || btf === undefined || id === undefined) return false
  const section = btf.type(id)
  return section.kind === BtfKind.DATASEC && section.vars.some((v) => v.type === btfId)
}

/** Loads and stores of one instruction must not mix kinds of pointers that the kernel rewrites differently. */
function checkKind(walk: Walk, reg: Reg, load: boolean): void {
  const name = regName(reg)
  const before = walk.accessKinds.get(walk.insn)
  if (before === undefined) return void walk.accessKinds.set(walk.insn, name)
  if (before === name) return
  // Loads may meet trusted and untrusted pointers to structures alike.
  if (load && reg.kind === 'ptr_' && before.endsWith('ptr_')) return
  if (isRewritten(reg) || isRewrittenName(before)) invalid('same insn cannot be used with different pointers')
}

function noteAccess({ accesses, insn, state }: Walk, reg: Reg): void {
  if (accesses !== null && !state.speculative) accesses[insn] = (accesses[insn] as number) | accessKind(reg)
}

function isRewritten(reg: Reg): boolean {
  return reg.kind === 'ctx' || reg.kind === 'arena' || isSocketKind(reg.kind) || reg.kind === 'ptr_'
}

function isRewrittenName(name: string): boolean {
  return name === 'ctx' || name === 'arena' || /sock/.test(name) || /ptr_/.test(name)
}

function stepLoad(walk: Walk, op: Extract<Operation, { kind: 'load' | 'loadAcquire' }>): void {
  const src = readReg(walk, op.src)
  if (op.dst === 10) deny('frame pointer is read only')
  if (op.kind === 'loadAcquire') checkAtomicTarget(op.src, src, 'loads from')
  const signed = op.kind === 'load' && op.signed
  const atomic = op.kind === 'loadAcquire'
  const value = access(walk, {
    regno: op.src,
    off: op.off,
    size: op.size,
    write: false,
    signed,
    source: -2,
    imm: 0,
    atomic,
  })
  noteAccess(walk, src)
  checkKind(walk, src, true)
  writeReg(walk, op.dst, value)
}

function stepStore(walk: Walk, op: Extract<Operation, { kind: 'store' | 'storeRelease' }>): void {
  const dst = walk.reg(op.dst)
  if (op.src !== null) readReg(walk, op.src)
  readReg(walk, op.dst)
  if (op.kind === 'storeRelease') checkAtomicTarget(op.dst, dst, 'stores into')
  const imm = op.kind === 'store' ? op.imm : 0
  const atomic = op.kind === 'storeRelease'
  access(walk, {
    regno: op.dst,
    off: op.off,
    size: op.size,
    write: true,
    signed: false,
    source: op.src ?? -1,
    imm,
    atomic,
  })
  noteAccess(walk, dst)
  checkKind(walk, dst, false)
}

function checkAtomicTarget(regno: number, reg: Reg, what: 'stores into' | 'loads from'): void {
  const isBad = reg.kind === 'ctx' || isPacketPointer(reg.kind) || reg.kind === 'flow_keys' || isSocketKind(reg.kind)
  if (isBad) deny(`BPF_ATOMIC ${what} R${regno} ${regName(reg)} is not allowed`)
}

function stepAtomic(walk: Walk, op: Extract<Operation, { kind: 'atomic' }>): void {
  readReg(walk, op.src)
  const dst = readReg(walk, op.dst)
  if (op.op === 'cmpxchg') keepSecret(walk, 0, readReg(walk, 0), 'leaks addr into mem')
  keepSecret(walk, op.src, walk.reg(op.src), 'leaks addr into mem')
  checkAtomicTarget(op.dst, dst, 'stores into')
  const base = { regno: op.dst, off: op.off, size: op.size, signed: false, imm: 0, atomic: true }
  const target = op.op === 'cmpxchg' ? 0 : op.src
  const old = access(walk, { ...base, write: false, source: -2, unused: !op.fetch })
  if (dst.kind === 'fp' && isSecret(walk, old)) {
    deny(`leaking pointer from stack off ${op.off + dst.off + valueOf(dst.value)}`)
  }
  access(walk, { ...base, write: true, source: -2 })
  noteAccess(walk, dst)
  if (op.fetch) writeReg(walk, target, old)
}

/** A load from the packet; true when the walk goes on in the caller, as after a failed load. */
function stepLegacyLoad(walk: Walk, op: Extract<Operation, { kind: 'loadAbs' | 'loadInd' }>): boolean {
  const { type } = walk.facts
  if (type !== 1 && type !== 3 && type !== 4 && type !== 8) {
    invalid('BPF_LD_[ABS|IND] instructions not allowed for this program type')
  }
  if (walk.state.frames.some((frame) => frame.inCallback)) invalid('cannot use BPF_LD_[ABS|IND] within callback')
  readReg(walk, 6)
  checkNoResources(walk, 'BPF_LD_[ABS|IND]', false)
  if (walk.reg(6).kind !== 'ctx') invalid('at the time of BPF_LD_ABS|IND R6 != pointer to skb')
  if (op.kind === 'loadInd') readReg(walk, op.src)
  checkUnmodified(walk.reg(6), 6)
  writeReg(walk, 0, unknownReg())
  clobberArguments(walk)
  if (walk.state.frames.length === 1) return false
  walk.push(walk.insn + 1, walk.insn)
  walk.set(0, scalarReg(constant(0)))
  returnToCaller(walk)
  return true
}
