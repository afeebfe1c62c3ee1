import type { InsnBuffer } from '../isa/index.ts'
import type { PreparedProgram, ProgramSpec } from './spec.ts'

/**
 * A prepared program that comes from no object: instructions with a name and a type, and defaults for what is not given.
 * Without `functions` it is a single one.
 */
export function bareProgram(
  insns: InsnBuffer,
  spec: Pick<ProgramSpec, 'name' | 'type'> & Partial<ProgramSpec>,
  { functions, lateReferences = [] }: Partial<Pick<PreparedProgram, 'functions' | 'lateReferences'>> = {},
): PreparedProgram {
  return {
    spec: {
      section: spec.name,
      functionIndex: 0,
      attachType: null,
      flags: 0,
      attachTarget: null,
      autoload: true,
      ...spec,
    },
    insns,
    functions: functions ?? [{ name: spec.name, start: 0, btfId: 0 }],
    lateReferences,
    lines: [],
    core: [],
  }
}
