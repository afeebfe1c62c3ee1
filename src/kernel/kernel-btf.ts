import { closeSync, fstatSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { BpfError } from '../bytes/index.ts'
import { Btf } from '../btf/index.ts'
import type { ModuleBtf } from '../loader/index.ts'
import { loadBinding, type NativeBinding } from './binding.ts'
import { btfInfo, objectIds, openById } from './objects.ts'
import { closeFd } from './syscall.ts'

const DIRECTORY = '/sys/kernel/btf'

let vmlinux: Btf | null | undefined
const modules = new Map<string, Btf | null>()

/** BTF of the running kernel, read once in a process; null when the kernel shows none (CONFIG_DEBUG_INFO_BTF). */
export function vmlinuxBtf(): Btf | null {
  if (vmlinux === undefined) {
    const bytes = readKernelBtf('vmlinux')
    vmlinux = bytes === null ? null : Btf.parse(bytes, { name: `${DIRECTORY}/vmlinux` })
  }
  return vmlinux
}

/** BTF of a loaded kernel module, with vmlinux as base; null when there is none. */
export function moduleBtf(module: string): Btf | null {
  let btf = modules.get(module)
  if (btf === undefined) {
    const base = vmlinuxBtf()
    const bytes = base === null || module.includes('/') ? null : readKernelBtf(module)
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

const PROT_READ = 1
const MAP_PRIVATE = 2

/**
 * Contents of /sys/kernel/btf/NAME (`vmlinux` or a module), null when there is none. Copied from a mapping where the kernel (6.16) and the addon can: a read(2) of sysfs gives one
 * page only, and vmlinux has over a thousand.
 */
export function readKernelBtf(name: string): Uint8Array | null {
  const path = `${DIRECTORY}/${name}`
  try {
    const found = loadBinding()
    const mapped = found.ok ? copyOfMapping(found.binding, path) : null
    return mapped ?? readFileSync(path)
  } catch {
    return null
  }
}

function copyOfMapping(binding: NativeBinding, path: string): Uint8Array | null {
  const fd = openSync(path, 'r')
  try {
    const memory = binding.mmap(fd, fstatSync(fd).size, PROT_READ, 0, MAP_PRIVATE)
    if (typeof memory === 'number') return null
    const bytes = new Uint8Array(memory).slice()
    binding.detach(memory)
    return bytes
  } finally {
    closeSync(fd)
  }
}
