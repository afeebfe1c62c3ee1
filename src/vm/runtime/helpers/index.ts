import { ADJUST_ROOM_HELPERS } from './adjust-room.ts'
import { CGROUP_HELPERS } from './cgroup.ts'
import { CHECKSUM_HELPERS } from './checksum.ts'
import { DYNPTR_HELPERS } from './dynptr.ts'
import { EVENT_HELPERS } from './events.ts'
import type { Helper, HelperGroup } from './helper.ts'
import { HEADER_OPTION_HELPERS } from './header-options.ts'
import { KERNEL_HELPERS } from './kernel.ts'
import { LIRC_HELPERS } from './lirc.ts'
import { MAP_HELPERS } from './maps.ts'
import { MEMORY_HELPERS } from './memory.ts'
import { MESSAGE_HELPERS } from './message.ts'
import { MTU_HELPERS } from './mtu.ts'
import { PERF_HELPERS } from './perf.ts'
import { PRINT_HELPERS } from './print.ts'
import { REDIRECT_HELPERS } from './redirect.ts'
import { SKB_HELPERS } from './skb.ts'
import { SOCKET_HELPERS } from './sockets.ts'
import { STORAGE_HELPERS } from './storage.ts'
import { SYNCOOKIE_HELPERS } from './syncookie.ts'
import { TASK_HELPERS } from './task.ts'
import { TIME_HELPERS } from './time.ts'
import { TIMER_HELPERS } from './timer.ts'
import { TRAMPOLINE_HELPERS } from './trampoline.ts'
import { VLAN_HELPERS } from './vlan.ts'
import { XDP_HELPERS } from './xdp.ts'

const GROUPS: readonly HelperGroup[] = [
  MAP_HELPERS,
  MEMORY_HELPERS,
  TIME_HELPERS,
  TIMER_HELPERS,
  TRAMPOLINE_HELPERS,
  TASK_HELPERS,
  STORAGE_HELPERS,
  EVENT_HELPERS,
  DYNPTR_HELPERS,
  PRINT_HELPERS,
  XDP_HELPERS,
  SKB_HELPERS,
  ADJUST_ROOM_HELPERS,
  VLAN_HELPERS,
  CHECKSUM_HELPERS,
  REDIRECT_HELPERS,
  SOCKET_HELPERS,
  MTU_HELPERS,
  MESSAGE_HELPERS,
  CGROUP_HELPERS,
  LIRC_HELPERS,
  PERF_HELPERS,
  SYNCOOKIE_HELPERS,
  HEADER_OPTION_HELPERS,
  KERNEL_HELPERS,
]

/** By id, dense, so that a call is one load. */
const TABLE: readonly (Helper | undefined)[] = makeTable()

function makeTable(): (Helper | undefined)[] {
  const table: (Helper | undefined)[] = []
  for (const group of GROUPS) {
    for (const [id, helper] of Object.entries(group)) table[Number(id)] = helper
  }
  return Array.from(table)
}

/** The helper with an id; undefined when the vm lacks it. bpf_tail_call (12) is the engines'. */
export function helperOf(id: number): Helper | undefined {
  return TABLE[id]
}

/** Ids of the helpers that the vm has, bpf_tail_call included. */
export function supportedHelpers(): number[] {
  const ids = [12]
  TABLE.forEach((helper, id) => {
    if (helper !== undefined) ids.push(id)
  })
  return ids.sort((a, b) => a - b)
}
