import { btfInfo, mapInfo, progInfo } from '../../kernel/index.ts'
import type { JsonWriter } from './json-writer.ts'
import { forEachObject } from './select.ts'

/** Ids of the programs and maps that use each BTF, ascending. */
export interface BtfUsers {
  readonly programs: ReadonlyMap<number, readonly number[]>
  readonly maps: ReadonlyMap<number, readonly number[]>
}

/** Looks through all programs and maps. @throws BpfError `syscall` */
export function btfUsers(): BtfUsers {
  const programs = new Map<number, number[]>()
  const maps = new Map<number, number[]>()
  forEachObject('prog', (fd) => {
    const { id, btfId } = progInfo(fd)
    add(programs, btfId, id)
  })
  forEachObject('map', (fd) => {
    const { id, btfId } = mapInfo(fd)
    add(maps, btfId, id)
  })
  return { programs, maps }
}

function add(lists: Map<number, number[]>, btfId: number, id: number): void {
  if (btfId === 0) return
  const list = lists.get(btfId)
  if (list === undefined) lists.set(btfId, [id])
  else list.push(id)
}

/** One BTF in the text of `bpftool btf show`. */
export function btfText(fd: number, users: BtfUsers): string {
  const info = btfInfo(fd)
  let text = `${info.id}: `
  if (info.kernel) text += `name [${info.name}]  `
  else text += `name ${info.name === '' ? '<anon>' : info.name}  `
  text += `size ${info.size}B`
  const programs = users.programs.get(info.id)
  const maps = users.maps.get(info.id)
  if (programs !== undefined) text += `  prog_ids ${programs.join(',')}`
  if (maps !== undefined) text += `  map_ids ${maps.join(',')}`
  return `${text}\n`
}

/** One BTF in the JSON of `bpftool -j btf show`. */
export function btfJson(json: JsonWriter, fd: number, users: BtfUsers): void {
  const info = btfInfo(fd)
  json.object(() => {
    json.field('id', info.id)
    json.field('size', info.size)
    for (const [name, ids] of [
      ['prog_ids', users.programs.get(info.id)],
      ['map_ids', users.maps.get(info.id)],
    ] as const) {
      json.name(name).array(() => {
        for (const id of ids ?? []) json.raw(id)
      })
    }
    json.field('kernel', info.kernel)
    if (info.name !== '') json.field('name', info.name)
  })
}
