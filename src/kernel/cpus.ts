import { readFileSync } from 'node:fs'
import { BpfError } from '../bytes/index.ts'

let possible: number | undefined

/**
 * Number of possible CPUs, which is how many values an element of a per-CPU map has.
 * @throws BpfError `unsupported` without sysfs
 */
export function possibleCpus(): number {
  possible ??= countCpus(readList('possible'))
  return possible
}

/** Numbers of the CPUs that are online now. */
export function onlineCpus(): number[] {
  return parseCpuList(readList('online'))
}

/** A list of sysfs ("0-3,8") as numbers. @internal */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = []
  for (const range of text.trim().split(',')) {
    const [first, last = first] = range.split('-').map(Number)
    if (first === undefined || last === undefined || !(first <= last && last < 65536)) {
      throw new BpfError('malformed', `CPU list "${text.trim()}" is not like 0-3,8`)
    }
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu)
  }
  return cpus
}

// The kernel sizes per-CPU values by the highest number, holes included.
function countCpus(text: string): number {
  return Math.max(...parseCpuList(text)) + 1
}

function readList(name: string): string {
  const path = `/sys/devices/system/cpu/${name}`
  try {
    return readFileSync(path, 'latin1')
  } catch (cause) {
    throw new BpfError('unsupported', `${path} cannot be read, so the number of CPUs is unknown`, { cause })
  }
}
