import { readFileSync } from 'node:fs'
import type { Link } from '../../loader/index.ts'
import { ALL, attachEvent, type EventFields } from './perf-open.ts'
import type { AttachSite } from './site.ts'
import { attachTracefsProbe } from './tracefs-probe.ts'

const DEVICES = '/sys/bus/event_source/devices'
/** Where the offset of a semaphore stands in `config` of a uprobe (format/ref_ctr_offset). */
const SEMAPHORE_SHIFT = 32n

/** Where a probe goes. */
export interface ProbePlace {
  readonly source: 'kprobe' | 'uprobe'
  /** Function of the kernel, or path of a binary. */
  readonly name: string
  /** Bytes from the start of that function or file. */
  readonly offset: number
  readonly retprobe: boolean
  readonly pid?: number | undefined
  /** Bytes from the start of the file to a USDT semaphore. */
  readonly semaphore?: number | undefined
}

/**
 * Probes one place: by the perf event source of the kernel (Linux 4.17), by files of tracefs before that or when
 * attachMode asks for it.
 */
export function attachProbe(site: AttachSite, place: ProbePlace, cookie?: bigint): Link {
  const type = eventSource(place.source)
  const { attachMode } = site.options
  if (attachMode === 'tracefs' || (type === null && attachMode === undefined)) {
    return attachTracefsProbe(site, place, cookie)
  }
  if (type === null) throw site.unsupported(`this kernel has no perf source "${place.source}" (Linux 4.17)`)
  const config = BigInt(place.retprobe ? 1 : 0) | (BigInt(place.semaphore ?? 0) << SEMAPHORE_SHIFT)
  const event: EventFields = { type, config, name: place.name, config2: BigInt(place.offset) }
  const { pid } = place
  return pid === undefined ? attachEvent(site, event, ALL, 0, cookie) : attachEvent(site, event, pid, ALL, cookie)
}

/** Number of an event source, which sysfs tells; null when the kernel has none. */
function eventSource(name: string): number | null {
  try {
    return Number(readFileSync(`${DEVICES}/${name}/type`, 'latin1'))
  } catch {
    return null
  }
}
