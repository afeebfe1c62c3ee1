import { createHash } from 'node:crypto'
import type { PreparedProgram } from '../loader/index.ts'
import { resolveReferences } from './late-references.ts'

/**
 * SHA-256 of a program as the kernel computes it when it is loaded (bpf_prog_calc_tag): of its instructions, without the
 * descriptors of maps and offsets into them.
 * @throws BpfError as loading would
 */
export function programHash(program: PreparedProgram): Uint8Array {
  const resolved = resolveReferences(program, () => 0)
  resolved.close()
  const { insns } = resolved
  for (const { kind, insn } of program.lateReferences) {
    if (kind !== 'map' && kind !== 'mapValue') continue
    insns.imm[insn] = 0
    insns.imm[insn + 1] = 0
  }
  return createHash('sha256').update(insns.toBytes()).digest()
}
