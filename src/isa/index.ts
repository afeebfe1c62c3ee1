export { INSN_SIZE, InsnBuffer } from './insns.ts'
export {
  CallPseudo,
  LdImm64Pseudo,
  type AccessSize,
  type AluOp,
  type AtomicOp,
  type BranchOp,
  type HelperCall,
  type KfuncCall,
  type LocalCall,
  type Operation,
  type RegisterCall,
} from './operation.ts'
export {
  ALU_OPS,
  ALU_VARIANTS,
  ATOMIC_OPS,
  BRANCH_OPS,
  INSN_CLASSES,
  OPCODES,
  SIZES,
  findForm,
  insnForms,
  type Field,
  type InsnClass,
  type InsnForm,
  type IsaVersion,
  type OpcodeRow,
  type Semantics,
} from './table.ts'
export { decode, formAt, slotsAt } from './decode.ts'
export { encode } from './encode.ts'
export { functions, type FunctionRange } from './functions.ts'
export { buildCfg, type Block, type Cfg, type JumpTargets } from './cfg.ts'
export { cycles, depthFirst, dominators, type DepthFirst, type Graph } from './dominators.ts'
export { bpftoolNames, kernelLines, printKernel, type BpftoolSymbols, type KernelNames } from './print-kernel.ts'
export { llvmLines, printLlvm, type LlvmOptions, type LlvmSectionOptions, type LlvmSymbol } from './print-llvm.ts'
export { assemble } from './assemble.ts'
