export { INSN_SIZE, InsnBuffer } from './insns.ts'
