import { BpfError, within } from '../../bytes/index.ts'
// Not by the layer's index: a dump of vmlinux takes half a second, and every module that is not loaded counts.
import { Btf } from '../../btf/btf.ts'
import { readInput } from './input.ts'

const KERNEL_BTF_DIRECTORY = '/sys/kernel/btf/'
/** BTF of the running kernel. */
export const VMLINUX: string = `${KERNEL_BTF_DIRECTORY}vmlinux`

/**
 * BTF of a file: an ELF file with a `.BTF` section, or the raw bytes. BTF in /sys/kernel/btf goes on from vmlinux's.
 * @param basePath file with the base of split BTF
 * @throws BpfError, or the system's error with the path
 */
export async function openBtf(path: string, basePath?: string): Promise<Btf> {
  const below = basePath ?? (path.startsWith(KERNEL_BTF_DIRECTORY) && path !== VMLINUX ? VMLINUX : undefined)
  const base = below === undefined ? undefined : await openBtf(below)
  const bytes = readInput(path)
  const options = base === undefined ? {} : { base }
  const isElf = bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46
  if (!isElf) return within({ file: path }, () => Btf.parse(bytes, { ...options, name: 'BTF' }))
  const { parseElf } = await import('../../elf/index.ts')
  return within({ file: path }, () => {
    const section = parseElf(bytes, path, { accept: 'any' }).sectionByName('.BTF')
    if (section === undefined)
      throw new BpfError('not-found', 'the file has no .BTF section (was it compiled with -g?)')
    return Btf.parse(section.data, { ...options, baseOffset: section.offset })
  })
}
