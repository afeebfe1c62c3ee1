import type { Link } from '../../loader/index.ts'
import { ALL, attachEvent, PERF_TYPE_TRACEPOINT } from './perf-open.ts'
import type { ProbePlace } from './probe-event.ts'
import { LinkGroup } from './group.ts'
import type { AttachSite } from './site.ts'
import { appendTracefs, tracepointId } from './tracefs.ts'

const GROUP = 'elfbee'
let made = 0

/**
 * Probes one place by an event of tracefs, which is made for it and removed with the link: what kernels without a perf
 * source for probes have, and those where only tracefs is let through.
 * @throws BpfError `unsupported` where tracefs has no such probes either
 */
export function attachTracefsProbe(site: AttachSite, place: ProbePlace, cookie?: bigint): Link {
  const { source, name, offset, retprobe, semaphore, pid } = place
  const file = `${source}_events`
  const event = `p${process.pid}_${made++}`
  const counter = semaphore === undefined || semaphore === 0 ? '' : `(0x${semaphore.toString(16)})`
  const where = source === 'uprobe' ? `${name}:0x${offset.toString(16)}${counter}` : `${name}+0x${offset.toString(16)}`
  const refused = appendTracefs(file, `${retprobe ? 'r' : 'p'}:${GROUP}/${event} ${where}`)
  if (refused !== null) {
    const option = source === 'kprobe' ? 'CONFIG_KPROBE_EVENTS' : 'CONFIG_UPROBE_EVENTS'
    throw site.unsupported(
      `no ${source} at ${where}: tracefs refuses it (${refused}); the kernel needs ${option}, and its perf source "${source}" or tracefs`,
    )
  }
  const remove = (): void => {
    appendTracefs(file, `-:${GROUP}/${event}`)
  }
  try {
    const config = BigInt(tracepointId(GROUP, event))
    const [process_, cpu] = pid === undefined ? [ALL, 0] : [pid, ALL]
    return new LinkGroup(
      [attachEvent(site, { type: PERF_TYPE_TRACEPOINT, config }, process_, cpu, cookie)],
      site.what,
      remove,
    )
  } catch (error) {
    remove()
    throw error
  }
}
