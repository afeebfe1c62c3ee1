import { BpfError, fromHex } from '../../bytes/index.ts'
import { InsnBuffer } from '../../isa/index.ts'
import { assembleConformance } from './assemble.ts'

/** A map that a case asks for. Sizes in bytes. */
export interface ConformanceMap {
  readonly name: string
  /** bpf_map_type. */
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
}

/** One test of the public bpf_conformance suite's format. */
export interface ConformanceCase {
  readonly name: string
  readonly insns: InsnBuffer
  /** Maps that ld_imm64 instructions name, by slot. */
  readonly mapReferences: ReadonlyMap<number, string>
  readonly maps: readonly ConformanceMap[]
  /** Memory that r1 points to, its length being in r2. */
  readonly memory: Uint8Array
  /** Value of r0 at the end, unsigned; null when the program must be refused or stopped. */
  readonly result: bigint | null
  /** What the case says of the error; '' when it is to fail in whatever way. */
  readonly error: string | null
}

type Section = 'asm' | 'raw' | 'mem' | 'map' | 'result' | 'error'
/** Words of a directive line, in the order in which the suite's runner looks for them; null: text to be ignored. */
const DIRECTIVES: readonly (readonly [word: string, section: Section | null])[] = [
  ['asm', 'asm'],
  ['result', 'result'],
  ['mem', 'mem'],
  ['raw', 'raw'],
  ['map', 'map'],
  ['no register offset', null],
  [' c', null],
  ['error', 'error'],
]

/**
 * Reads a `.data` file: sections `-- asm`, `-- raw` (64-bit words in host order), `-- mem` (bytes in hexadecimal),
 * `-- map`, `-- result` and `-- error`; a comment starts with `#`.
 * @throws BpfError `malformed` with the line
 */
export function parseConformance(text: string, name: string): ConformanceCase {
  const sections = new Map<Section, string[]>()
  let section: Section | null = null
  text.split(/\r?\n/).forEach((line, i) => {
    if (line.includes('--')) {
      const found = DIRECTIVES.find(([word]) => line.includes(word))
      if (found === undefined) {
        throw new BpfError('malformed', `${name}, line ${i + 1}: unknown section '${line.trim()}'`)
      }
      section = found[1]
      // The assembler counts lines; those of the file are wanted.
      if (section !== null && !sections.has(section)) sections.set(section, [])
      if (section === 'asm')
        sections.set(
          'asm',
          Array.from({ length: i + 1 }, () => ''),
        )
      return
    }
    if (section === null) return
    if (section === 'asm') sections.get(section)?.push(line)
    else if (line.trim() !== '' && !line.startsWith('#')) sections.get(section)?.push(line.trim())
  })
  const last = (which: Section): string | undefined => sections.get(which)?.at(-1)
  const raw = sections.get('raw')
  const assembled = raw === undefined ? assembleConformance((sections.get('asm') ?? []).join('\n')) : null
  const insns = assembled?.insns ?? rawInsns(name, raw ?? [])
  if (insns.length === 0) throw new BpfError('malformed', `${name}: there are no instructions`)
  const error = sections.has('error') ? (last('error') ?? '') : null
  const result = last('result')
  if (error === null && result === undefined) {
    throw new BpfError('malformed', `${name}: there is neither a result nor an error`)
  }
  return {
    name,
    insns,
    mapReferences: assembled?.maps ?? new Map(),
    maps: (sections.get('map') ?? []).map((line) => parseMap(name, line)),
    memory: fromHex((sections.get('mem') ?? []).join(' ')),
    result: error === null ? word(name, result ?? '') : null,
    error,
  }
}

function parseMap(name: string, line: string): ConformanceMap {
  const [map, ...numbers] = line.split(/[\s,]+/)
  const [type, keySize, valueSize, maxEntries] = numbers.map((text) => Number(word(name, text)))
  if (map === undefined || type === undefined || keySize === undefined || valueSize === undefined) {
    throw new BpfError('malformed', `${name}: a map is a name, a type, two sizes and a number of entries, not ${line}`)
  }
  return { name: map, type, keySize, valueSize, maxEntries: maxEntries ?? 1 }
}

/** An unsigned 64-bit number. */
function word(name: string, text: string): bigint {
  if (!/^-?(?:0x[0-9a-f]+|\d+)$/i.test(text)) throw new BpfError('malformed', `${name}: '${text}' is no number`)
  const negative = text.startsWith('-')
  const value = BigInt(negative ? text.slice(1) : text)
  return BigInt.asUintN(64, negative ? -value : value)
}

function rawInsns(name: string, lines: readonly string[]): InsnBuffer {
  const words = lines.join(' ').split(/\s+/).filter(Boolean)
  const bytes = new Uint8Array(words.length * 8)
  const view = new DataView(bytes.buffer)
  words.forEach((text, i) => view.setBigUint64(i * 8, word(name, text), true))
  return insnsFromBytes(bytes)
}

/**
 * Instructions from bytes in host order. The suite has the register of callx in the source field, where clang once put
 * it; elsewhere, as in gcc and clang today, it is the destination field.
 * @throws BpfError `malformed` when the length is no multiple of 8
 */
export function insnsFromBytes(bytes: Uint8Array): InsnBuffer {
  const insns = InsnBuffer.fromBytes(bytes)
  for (let at = 0; at < insns.length; at++) {
    if (insns.code[at] === 0x18) at++
    else if (insns.code[at] === 0x8d && insns.dst[at] === 0) {
      insns.dst[at] = insns.src[at] as number
      insns.src[at] = 0
    }
  }
  return insns
}
