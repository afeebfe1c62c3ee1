import { readFileSync, readdirSync } from 'node:fs'
import { BpfError } from '../bytes/index.ts'
import { Btf } from '../btf/index.ts'
import type { ModuleBtf } from '../loader/index.ts'
import { btfInfo, objectIds, openById } from './objects.ts'
import { closeFd } from './syscall.ts'

const DIRECTORY = '/sys/kernel/btf'

let vmlinux: Btf | null | undefined
const modules = new Map<string, Btf | null>()

/** BTF of the running kernel, read once in a process; null when the kernel shows none (CONFIG_DEBUG_INFO_BTF). */
export function vmlinuxBtf(): Btf | null {
  if (vmlinux === undefined) {
    const bytes = readBtf('vmlinux')
    vmlinux = bytes === null ? null : Btf.parse(bytes, { name: `${DIRECTORY}/vmlinux` })
  }
  return vmlinux
}

/** BTF of a loaded kernel module, with vmlinux as base; null when there is none. */
export function moduleBtf(module: string): Btf | null {
  let btf = modules.get(module)
  if (btf === undefined) {
    const base = vmlinuxBtf()
    const bytes = base === null || module.includes('/') ? null : readBtf(module)
    btf = base === null || bytes === null ? null : Btf.parse(bytes, { base, name: `${DIRECTORY}/${module}` })
    modules.set(module, btf)
  }
  return btf
}

/** BTF of all loaded kernel modules that have one, by name. */
export function moduleBtfs(): ModuleBtf[] {
  let names: string[]
  try {
    names = readdirSync(DIRECTORY)
  } catch {
    return []
  }
  return names.flatMap((name) => {
    const btf = name === 'vmlinux' ? null : moduleBtf(name)
    return btf === null ? [] : [{ name, btf }]
  })
}

/**
 * A descriptor of a module's BTF, which the caller closes.
 * @throws BpfError `not-found`, `syscall`
 */
export function openModuleBtf(module: string): number {
  for (const id of objectIds('btf')) {
    const fd = openById('btf', id)
    const info = btfInfo(fd)
    if (info.kernel && info.name === module) return fd
    closeFd(fd)
  }
  throw new BpfError('not-found', `the kernel has no BTF of a module "${module}"`)
}

function readBtf(name: string): Uint8Array | null {
  try {
    return readFileSync(`${DIRECTORY}/${name}`)
  } catch {
    return null
  }
}
