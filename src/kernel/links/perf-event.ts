import type { Link } from '../../loader/index.ts'
import { ALL, attachEvent, PERF_TYPE_TRACEPOINT } from './perf-open.ts'
import type { AttachSite } from './site.ts'
import { tracepointId } from './tracefs.ts'

/** Tracepoints ("category/name"). */
export function attachTracepoint(site: AttachSite): Link {
  site.allow('a tracepoint', ['target', 'cookie', 'attachMode'])
  const match = /^([^/:]+)[/:]([^/:]+)$/.exec(site.target ?? '')
  if (match === null) {
    const has = site.target === null ? 'names no tracepoint' : `names "${site.target}", not "category/name"`
    throw site.usage(`the section ${has}: give the option target`)
  }
  const id = tracepointId(match[1] as string, match[2] as string)
  return attachEvent(site, { type: PERF_TYPE_TRACEPOINT, config: BigInt(id) }, ALL, 0)
}

/** perf_event programs: samples of a counter. */
export function attachPerfEvent(site: AttachSite): Link {
  site.allow('a perf event', ['perfEvent', 'cookie'])
  const event = site.options.perfEvent
  if (event === undefined) throw site.usage('perf_event programs need the option perfEvent: { type, config, … }')
  const { pid, cpu, period, frequency } = event
  if (pid === undefined && cpu === undefined) throw site.usage('perfEvent needs a pid, a cpu or both')
  if ((period === undefined) === (frequency === undefined)) throw site.usage('perfEvent needs a period or a frequency')
  return attachEvent(
    site,
    {
      type: event.type,
      config: BigInt(event.config),
      ...(period === undefined ? {} : { period }),
      ...(frequency === undefined ? {} : { frequency }),
    },
    pid ?? ALL,
    cpu ?? ALL,
  )
}
