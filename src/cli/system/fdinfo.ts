import { readdirSync, readFileSync } from 'node:fs'

/** What /proc says of an open descriptor: `memlock`, `frozen`, `map_id`. Empty when it cannot be read. */
export function fdinfo(fd: number, pid: number | 'self' = 'self'): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1')
  } catch {
    return fields
  }
  for (const line of text.split('\n')) {
    const at = line.indexOf(':')
    if (at > 0) fields.set(line.slice(0, at), line.slice(at + 1).trim())
  }
  return fields
}

/** A process that holds a descriptor of an object. */
export interface Holder {
  readonly pid: number
  readonly comm: string
}

/** Processes that hold descriptors of maps or programs, by id. Others' are seen by root only. */
export function holders(kind: 'map' | 'prog'): ReadonlyMap<number, readonly Holder[]> {
  const found = new Map<number, Holder[]>()
  for (const name of entriesOf('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    for (const id of idsHeldBy(pid, kind)) {
      const holder = { pid, comm: commOf(pid) }
      const list = found.get(id)
      if (list === undefined) found.set(id, [holder])
      else list.push(holder)
    }
  }
  return found
}

function idsHeldBy(pid: number, kind: 'map' | 'prog'): Set<number> {
  const ids = new Set<number>()
  for (const fd of entriesOf(`/proc/${pid}/fdinfo`)) {
    const fields = fdinfo(Number(fd), pid)
    // A link has a prog_id, too, but is not the program.
    if (fields.has('link_id')) continue
    const id = fields.get(`${kind}_id`)
    if (id !== undefined) ids.add(Number(id))
  }
  return ids
}

function commOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()
  } catch {
    return ''
  }
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
