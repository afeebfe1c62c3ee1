import { isBpfError } from '../../bytes/index.ts'
import { formatValue, type Btf } from '../../btf/index.ts'
import { vmlinuxBtf, type KernelMap, type MapInfo } from '../../kernel/index.ts'
import { MapType } from '../../uapi/index.ts'
import type { JsonWriter } from './json-writer.ts'
import { btfById } from './select.ts'

const PER_CPU: ReadonlySet<number> = new Set<number>([
  MapType.PERCPU_HASH,
  MapType.PERCPU_ARRAY,
  MapType.LRU_PERCPU_HASH,
  MapType.PERCPU_CGROUP_STORAGE,
])
const OF_MAPS: ReadonlySet<number> = new Set<number>([MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS])
/** More bytes than this in key or value get a line of their own; both together on one line up to the second. */
const NAME_BREAK = 16
const ONE_LINE = 24

/** An element, or why it cannot be read. */
interface Element {
  readonly key: Uint8Array
  readonly value: Uint8Array | null
  readonly error: string | null
}

/** A map and what its dump needs. */
export interface DumpedMap {
  readonly map: KernelMap
  readonly info: MapInfo
  readonly btf: Btf | null
}

/** Finds the types of a map's keys and values. @throws BpfError `syscall` */
export function withTypes(map: KernelMap): DumpedMap {
  const info = map.info()
  if (info.btfVmlinuxValueTypeId !== 0) return { map, info, btf: vmlinuxBtf() }
  return { map, info, btf: info.btfValueTypeId === 0 ? null : btfById(info.btfId) }
}

/** Elements in the form of `bpftool map dump` for a map without types. */
export function plainDump({ map, info }: DumpedMap): string {
  let text = ''
  let count = 0
  for (const element of elements(map, info)) {
    if (element.value === null) text += plainError(info, element)
    else {
      text += plainElement(map, info, element.key, element.value)
      count++
    }
  }
  return `${text}Found ${count} element${count === 1 ? '' : 's'}\n`
}

/**
 * Elements in the form of `bpftool map dump` for a map with types (almost JSON), or with `asJson` of `bpftool -j`:
 * bytes, and the typed value beside them.
 */
export function typedDump(json: JsonWriter, dumped: DumpedMap, asJson: boolean): void {
  const { map, info, btf } = dumped
  json.array(() => {
    for (const element of elements(map, info)) {
      const { key, value } = element
      if (value === null) {
        if (element.error !== null) jsonError(json, key, element.error)
      } else if (asJson) jsonElement(json, dumped, key, value)
      else if (btf !== null) formatted(json, dumped, btf, key, value, 'bpftool')
    }
  })
}

function* elements(map: KernelMap, info: MapInfo): Generator<Element> {
  const isSparse = OF_MAPS.has(info.type) || info.type === MapType.PROG_ARRAY
  let key: Uint8Array | null = null
  while ((key = map.nextKey(key)) !== null) {
    try {
      const value = map.lookup(key)
      if (value !== null) yield { key, value, error: null }
      else if (!isSparse) yield { key, value: null, error: 'No such file or directory' }
    } catch (error) {
      if (!isBpfError(error) || error.code !== 'syscall') throw error
      yield { key, value: null, error: MESSAGES[error.errno ?? ''] ?? error.errno ?? error.message }
    }
  }
}

/** strerror() of what lookups fail with. */
const MESSAGES: Readonly<Record<string, string>> = {
  EPERM: 'Operation not permitted',
  EINVAL: 'Invalid argument',
  EOPNOTSUPP: 'Operation not supported',
  ENOTSUPP: 'Unknown error 524',
  ENOSPC: 'No space left on device',
}

/** Bytes as bpftool spaces them: 16 on a line, a wider gap after 8. */
function spaced(bytes: Uint8Array): string {
  let text = ''
  bytes.forEach((byte, i) => {
    if (i > 0) text += i % 16 === 0 ? '\n' : i % 8 === 0 ? '  ' : ' '
    text += byte.toString(16).padStart(2, '0')
  })
  return text
}

function plainElement(map: KernelMap, info: MapInfo, key: Uint8Array, value: Uint8Array): string {
  if (PER_CPU.has(info.type)) {
    let text = `key:\n${spaced(key)}\n`
    for (const [cpu, each] of cpuValues(map, info, value).entries()) {
      const number = String(cpu).padStart(2, '0')
      text += `value (CPU ${number}):${info.valueSize > NAME_BREAK ? '\n' : ' '}${spaced(each)}\n`
    }
    return text
  }
  const breaks = info.keySize > NAME_BREAK || info.valueSize > NAME_BREAK
  const oneLine = info.keySize + info.valueSize <= ONE_LINE && !breaks
  const after = breaks ? '\n' : ' '
  let text = ''
  if (info.keySize > 0) text += `key:${after}${spaced(key)}${oneLine ? '  ' : '\n'}`
  if (info.valueSize > 0) {
    text += OF_MAPS.has(info.type)
      ? `inner_map_id:${after}${new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true)} `
      : `value:${after}${spaced(value)}`
  }
  return `${text}\n`
}

function plainError(info: MapInfo, element: Element): string {
  const message = element.error === 'No such file or directory' ? '<no entry>' : (element.error ?? '')
  const breaks = info.keySize > NAME_BREAK || message.length > NAME_BREAK
  const oneLine = info.keySize + message.length <= ONE_LINE && !breaks
  const after = breaks ? '\n' : ' '
  return `key:${after}${spaced(element.key)}${oneLine ? '  ' : '\n'}value:${after}${message}\n`
}

function jsonError(json: JsonWriter, key: Uint8Array, message: string): void {
  json.object(() => {
    json.name('key').bytes(key)
    json.name('value').object(() => json.field('error', message))
  })
}

function jsonElement(json: JsonWriter, dumped: DumpedMap, key: Uint8Array, value: Uint8Array): void {
  const { map, info, btf } = dumped
  json.object(() => {
    json.name('key').bytes(key)
    if (PER_CPU.has(info.type)) {
      json.name('values').array(() => {
        for (const [cpu, each] of cpuValues(map, info, value).entries()) {
          json.object(() => json.field('cpu', cpu).name('value').bytes(each))
        }
      })
    } else {
      json.name('value').bytes(value)
      if (OF_MAPS.has(info.type)) {
        json.field('inner_map_id', new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true))
      }
    }
    if (btf === null) return
    json.name('formatted')
    formatted(json, dumped, btf, key, value, 'bpftool-json')
  })
}

function formatted(
  json: JsonWriter,
  dumped: DumpedMap,
  btf: Btf,
  key: Uint8Array,
  value: Uint8Array,
  style: 'bpftool' | 'bpftool-json',
): void {
  const { map, info } = dumped
  const text = (typeId: number, bytes: Uint8Array): string =>
    formatValue(btf, typeId, bytes, { style, networkOrder: 'memory', pretty: json.pretty, depth: json.depth })
  const valueType = info.btfVmlinuxValueTypeId === 0 ? info.btfValueTypeId : info.btfVmlinuxValueTypeId
  json.object(() => {
    if (info.btfKeyTypeId !== 0) json.name('key').raw(text(info.btfKeyTypeId, key))
    if (!PER_CPU.has(info.type)) {
      json.name('value').raw(text(valueType, value))
      return
    }
    json.name('values').array(() => {
      for (const [cpu, each] of cpuValues(map, info, value).entries()) {
        json.object(() => json.field('cpu', cpu).name('value').raw(text(valueType, each)))
      }
    })
  })
}

function cpuValues(map: KernelMap, info: MapInfo, value: Uint8Array): Uint8Array[] {
  const step = (info.valueSize + 7) & ~7
  return Array.from({ length: map.valueCount }, (_, cpu) => value.subarray(cpu * step, cpu * step + info.valueSize))
}
