import { HelperId } from '../../../uapi/index.ts'
import { Trap } from '../../trap.ts'
import { CgroupStorageMap } from '../maps/cgroup-storage.ts'
import { LocalStorageMap } from '../maps/local-storage.ts'
import { orNoMemory } from '../maps/errors.ts'
import type { Runtime } from '../runtime.ts'
import type { Helper, HelperGroup } from './helper.ts'

/** BPF_LOCAL_STORAGE_GET_F_CREATE. */
const CREATE = 1

function storage(rt: Runtime): LocalStorageMap {
  const map = rt.map(1)
  if (!(map instanceof LocalStorageMap)) throw new Trap('call', `map ${map.name} is no local storage`)
  return map
}

/** bpf_task_storage_get(map, object, value, flags) and its like. */
const get: Helper = (rt, _map, owner) => {
  const map = storage(rt)
  const flags = rt.flags(4)
  if ((flags & ~CREATE) !== 0) return 0
  const initial = rt.low(3) === 0 ? 0 : rt.pointer(3, map.valueSize, 'a value')
  const address = orNoMemory(() => map.get(owner, initial, flags === CREATE))
  return Math.max(0, address)
}

const remove: Helper = (rt, _map, owner) => storage(rt).remove(owner)

/** Values that belong to kernel objects. */
export const STORAGE_HELPERS: HelperGroup = {
  [HelperId.task_storage_get]: get,
  [HelperId.task_storage_delete]: remove,
  [HelperId.sk_storage_get]: get,
  [HelperId.sk_storage_delete]: remove,
  [HelperId.inode_storage_get]: get,
  [HelperId.inode_storage_delete]: remove,
  [HelperId.cgrp_storage_get]: get,
  [HelperId.cgrp_storage_delete]: remove,
  [HelperId.get_local_storage]: (rt) => {
    const map = rt.map(1)
    const context = rt.run?.context
    if (!(map instanceof CgroupStorageMap) || context === undefined) {
      throw new Trap('call', `map ${map.name} is no cgroup storage`)
    }
    return map.valueIn(context)
  },
  [HelperId.kptr_xchg]: (rt, _slot) => {
    const slot = rt.pointer(1, 8, 'a kernel pointer')
    const next = rt.arg64(2)
    const old = rt.memory.u64(slot)
    rt.memory.setU64(slot, next)
    return old
  },
}
