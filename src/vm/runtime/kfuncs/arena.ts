import { Trap } from '../../trap.ts'
import type { Helper } from '../helpers/helper.ts'
import { ArenaMap } from '../maps/arena.ts'
import type { Runtime } from '../runtime.ts'

function arena(rt: Runtime): ArenaMap {
  const map = rt.map(1)
  if (!(map instanceof ArenaMap)) throw new Trap('call', `map ${map.name} is no arena`)
  return map
}

/** Kernel functions on arenas, by name. */
export const ARENA_KFUNCS: Readonly<Record<string, Helper>> = {
  /** (map, address, pages, NUMA node, flags) */
  bpf_arena_alloc_pages: (rt, _map, address, count) =>
    rt.arg64(5) === 0n ? arena(rt).allocatePages(address, count) : 0,
  bpf_arena_free_pages: (rt, _map, address, count) => {
    arena(rt).freePages(address, count)
    return 0
  },
}
