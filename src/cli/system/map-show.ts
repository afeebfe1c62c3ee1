import { mapInfo, type MapInfo } from '../../kernel/index.ts'
import { mapTypeName, MapType, progTypeName } from '../../uapi/index.ts'
import { fdinfo, type Holder } from './fdinfo.ts'
import type { JsonWriter } from './json-writer.ts'
import { holdersJson, holdersText } from './prog-show.ts'

/** First line of a map in text; `bpftool map dump` of several maps has it, too. */
export function mapHeaderText(info: MapInfo): string {
  const name = info.name === '' ? '' : `name ${info.name}  `
  return `${info.id}: ${mapTypeName(info.type) ?? `type ${info.type}`}  ${name}flags 0x${info.flags.toString(16)}\n`
}

export function mapHeaderJson(json: JsonWriter, info: MapInfo): void {
  json.field('id', info.id)
  json.field('type', mapTypeName(info.type) ?? info.type)
  if (info.name !== '') json.field('name', info.name)
  json.field('flags', info.flags | 0)
}

/** A map in the text of `bpftool map show`. */
export function mapText(fd: number, holders: ReadonlyMap<number, readonly Holder[]>): string {
  const info = mapInfo(fd)
  const fields = fdinfo(fd)
  let text = mapHeaderText(info)
  text += `\tkey ${info.keySize}B  value ${info.valueSize}B  max_entries ${info.maxEntries}`
  const memlock = fields.get('memlock')
  if (memlock !== undefined) text += `  memlock ${memlock}B`
  if (info.type === MapType.PROG_ARRAY) text += ownerText(fields)
  const isFrozen = Number(fields.get('frozen') ?? 0) !== 0
  if (info.btfId > 0 || isFrozen) text += '\n\t'
  if (info.btfId > 0) text += `btf_id ${info.btfId}`
  if (isFrozen) text += `${info.btfId > 0 ? '  ' : ''}frozen`
  return `${text}${holdersText(holders.get(info.id))}\n`
}

function ownerText(fields: ReadonlyMap<string, string>): string {
  const type = fields.get('owner_prog_type')
  const jited = fields.get('owner_jited')
  let text = type !== undefined || jited !== undefined ? '\n\t' : ''
  if (type !== undefined) text += `owner_prog_type ${progTypeName(Number(type)) ?? type}  `
  if (jited !== undefined) text += `owner${Number(jited) === 0 ? ' not' : ''} jited`
  return text
}

/** A map in the JSON of `bpftool -j map show`. */
export function mapJson(json: JsonWriter, fd: number, holders: ReadonlyMap<number, readonly Holder[]>): void {
  const info = mapInfo(fd)
  const fields = fdinfo(fd)
  json.object(() => {
    mapHeaderJson(json, info)
    json.field('bytes_key', info.keySize)
    json.field('bytes_value', info.valueSize)
    json.field('max_entries', info.maxEntries)
    const memlock = fields.get('memlock')
    if (memlock !== undefined) json.field('bytes_memlock', Number(memlock))
    if (info.type === MapType.PROG_ARRAY) {
      const type = fields.get('owner_prog_type')
      const jited = fields.get('owner_jited')
      if (type !== undefined) json.field('owner_prog_type', progTypeName(Number(type)) ?? Number(type))
      if (jited !== undefined) json.field('owner_jited', Number(jited) !== 0)
    }
    json.field('frozen', Number(fields.get('frozen') ?? 0))
    if (info.btfId > 0) json.field('btf_id', info.btfId)
    holdersJson(json, holders.get(info.id))
  })
}
