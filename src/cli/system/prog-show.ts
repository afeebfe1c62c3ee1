import { readFileSync } from 'node:fs'
import { toHex } from '../../bytes/index.ts'
import { progInfo, type ProgInfo } from '../../kernel/index.ts'
import { progTypeName } from '../../uapi/index.ts'
import { fdinfo, type Holder } from './fdinfo.ts'
import type { JsonWriter } from './json-writer.ts'
import { fullName } from './select.ts'

const NS_PER_SECOND = 1_000_000_000n

/** A program in the text of `bpftool prog show`. */
export function progText(fd: number, holders: ReadonlyMap<number, readonly Holder[]>): string {
  const info = progInfo(fd)
  const type = progTypeName(info.type)
  let text = `${info.id}: ${type ?? `type ${info.type}`}  `
  if (info.name !== '') text += `name ${fullName(fd)}  `
  text += `tag ${toHex(info.tag)}${info.gplCompatible ? '  gpl' : ''}`
  if (info.runTimeNs > 0n) text += ` run_time_ns ${info.runTimeNs} run_cnt ${info.runCount}`
  if (info.recursionMisses > 0n) text += ` recursion_misses ${info.recursionMisses}`
  text += '\n'
  if (info.loadTime > 0n) text += `\tloaded_at ${localTime(loadedAt(info))}  uid ${info.createdByUid}\n`
  text += `\txlated ${info.xlatedLength}B`
  text += info.jitedLength > 0 ? `  jited ${info.jitedLength}B` : '  not jited'
  const memlock = fdinfo(fd).get('memlock')
  if (memlock !== undefined) text += `  memlock ${memlock}B`
  if (info.mapIds.length > 0) text += `  map_ids ${info.mapIds.join(',')}`
  if (info.btfId > 0) text += `\n\tbtf_id ${info.btfId}`
  return `${text}${holdersText(holders.get(info.id))}\n`
}

/** A program in the JSON of `bpftool -j prog show`. */
export function progJson(json: JsonWriter, fd: number, holders: ReadonlyMap<number, readonly Holder[]>): void {
  const info = progInfo(fd)
  json.object(() => {
    json.field('id', info.id)
    json.field('type', progTypeName(info.type) ?? info.type)
    if (info.name !== '') json.field('name', fullName(fd))
    json.field('tag', toHex(info.tag))
    json.field('gpl_compatible', info.gplCompatible)
    if (info.runTimeNs > 0n) json.field('run_time_ns', info.runTimeNs).field('run_cnt', info.runCount)
    if (info.recursionMisses > 0n) json.field('recursion_misses', info.recursionMisses)
    if (info.loadTime > 0n) json.field('loaded_at', loadedAt(info)).field('uid', info.createdByUid)
    json.field('orphaned', false)
    json.field('bytes_xlated', info.xlatedLength)
    json.field('jited', info.jitedLength > 0)
    if (info.jitedLength > 0) json.field('bytes_jited', info.jitedLength)
    const memlock = fdinfo(fd).get('memlock')
    if (memlock !== undefined) json.field('bytes_memlock', Number(memlock))
    if (info.mapIds.length > 0) {
      json.name('map_ids').array(() => {
        for (const id of info.mapIds) json.raw(id)
      })
    }
    if (info.btfId > 0) json.field('btf_id', info.btfId)
    holdersJson(json, holders.get(info.id))
  })
}

/** `pids comm(1), other(2)` on a line of its own; empty without holders. */
export function holdersText(list: readonly Holder[] | undefined): string {
  if (list === undefined || list.length === 0) return ''
  return `\n\tpids ${list.map(({ comm, pid }) => `${comm}(${pid})`).join(', ')}`
}

export function holdersJson(json: JsonWriter, list: readonly Holder[] | undefined): void {
  if (list === undefined || list.length === 0) return
  json.name('pids').array(() => {
    for (const { pid, comm } of list) json.object(() => json.field('pid', pid).field('comm', comm))
  })
}

/** Seconds since 1970. The kernel counts from boot, suspended time included. */
function loadedAt(info: ProgInfo): bigint {
  const [uptime = '0'] = readFileSync('/proc/uptime', 'latin1').split(' ')
  const sinceBoot = BigInt(Math.round(Number(uptime) * 1000)) * 1_000_000n
  return (BigInt(Date.now()) * 1_000_000n - sinceBoot + info.loadTime) / NS_PER_SECOND
}

/** As strftime's %FT%T%z: `2026-11-22T09:01:31+0000`. */
function localTime(seconds: bigint): string {
  const time = new Date(Number(seconds) * 1000)
  const two = (n: number): string => String(n).padStart(2, '0')
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
  const offset = -time.getTimezoneOffset()
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`
  return `${date}T${clock}${zone}`
}
