import { BtfKind, type Btf } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import type { FunctionTable } from './functions.ts'
import type { FunctionRecords } from './records.ts'

const PREFIX = 'exception_callback:'

/**
 * Functions that decl tags `exception_callback:NAME` name for programs, by function index (libbpf,
 * bpf_prog_assign_exc_cb). A program with two tags gets none: the verifier will refuse it.
 * @param problems gets an entry for a program whose callback is not there
 */
export function exceptionCallbacks(
  functions: FunctionTable,
  btf: Btf | null,
  records: FunctionRecords,
  problems: Map<number, BpfError>,
): Map<number, number> {
  const callbacks = new Map<number, number>()
  if (btf === null || records.funcInfo.size === 0) return callbacks
  const byBtfId = new Map([...records.funcInfo].map(([index, id]) => [id, index]))
  const byName = new Map(functions.list.filter((fn) => fn.bind !== 'local' && !fn.hidden).map((fn) => [fn.name, fn]))
  const tagged = new Set<number>()
  for (const id of btf.ids()) {
    if (btf.kind(id) !== BtfKind.DECL_TAG) continue
    const tag = btf.type(id)
    if (tag.kind !== BtfKind.DECL_TAG || tag.componentIndex !== -1 || !tag.name.startsWith(PREFIX)) continue
    const owner = byBtfId.get(tag.type)
    if (owner === undefined) continue
    if (tagged.has(owner)) {
      callbacks.delete(owner)
      continue
    }
    tagged.add(owner)
    const name = tag.name.slice(PREFIX.length)
    const callback = byName.get(name)
    if (callback !== undefined) callbacks.set(owner, callback.index)
    else if (!problems.has(owner)) {
      const where = { symbol: functions.list[owner]?.name ?? '' }
      problems.set(
        owner,
        new BpfError('relocation', `its exception callback '${name}' is no global function that others may see`, {
          where,
        }),
      )
    }
  }
  return callbacks
}
