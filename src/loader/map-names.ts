import type { MapSpec } from './spec.ts'

/** Characters of a name that the kernel keeps (BPF_OBJ_NAME_LEN without the zero). */
const NAME_LENGTH = 15

/**
 * The name that the kernel gets for a map. Data maps are called by the object's name, cut, and the section ("execsno.rodata");
 * those of sections with two dots by the section alone (libbpf.c, internal_map_name).
 */
export function kernelMapName(object: string, spec: MapSpec): string {
  if (spec.dataSection === null || spec.dataSection === 'struct_ops') return spec.name.slice(0, NAME_LENGTH)
  const section = spec.name
  const suffixLength = Math.min(Math.max(7, section.length), NAME_LENGTH)
  const isCustom = section.indexOf('.', 1) >= 0
  const prefix = isCustom ? '' : object.slice(0, NAME_LENGTH - suffixLength)
  return (prefix + section.slice(0, suffixLength)).replaceAll(/[^A-Za-z0-9_.]/g, '_')
}
