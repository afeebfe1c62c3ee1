import { BpfError, decodeUtf8, encodeUtf8 } from '../bytes/index.ts'
import { checkBtf } from './check/check.ts'
import { decodeType } from './decode.ts'
import { NameIndex, essentialEnd } from './name-index.ts'
import { parseColumns, type BtfStart } from './parse.ts'
import { alignOfType, pointerSizeOf, sizeOfType, skipChain } from './size.ts'
import { BtfKind, type BtfType } from './types.ts'

/** How {@link Btf.parse} reads a blob. */
export interface BtfParseOptions {
  /** The BTF that ids and string offsets go on from (vmlinux for a kernel module's). */
  readonly base?: Btf
  /** What the bytes are, for messages; ".BTF" unless said otherwise. */
  readonly name?: string
  /** Offset of the blob in its file, so that errors carry absolute offsets. */
  readonly baseOffset?: number
  /** `basic` (the default) checks what libbpf checks; `kernel` is followed by `checkBtf`. */
  readonly validate?: 'basic' | 'kernel'
}

/** Lookups by name that scan all types before it pays to build an index. */
const SCANS_BEFORE_INDEX = 3
const VOID_NAME = 'void'

/**
 * BTF type information: read-only, over the blob it was parsed from. Types are decoded when asked for; what is kept is
 * one 32-bit offset a type and, after some lookups, a hash table of names.
 *
 * Format: Documentation/bpf/btf.rst and include/uapi/linux/btf.h.
 */
export class Btf {
  readonly base: Btf | null
  /** Byte order of the blob. */
  readonly littleEndian: boolean
  /** 1, or the number of types of the base. */
  readonly firstId: number
  /** Valid ids are 0 (void) to typeCount - 1, the base's included. */
  readonly typeCount: number
  /** String offset of the first own string. */
  readonly firstStringOffset: number
  /** Own strings, zero-terminated, back to back. */
  readonly strings: Uint8Array
  /**
   * The own type section as 32-bit words in this machine's order, and where each own type's record starts in it.
   * For hot loops; {@link Btf.type} is the readable way.
   */
  readonly words: Uint32Array
  readonly offsets: Uint32Array
  readonly #bytes: Uint8Array
  #pointerSize: 4 | 8 | 0 = 0
  #scans = 0
  #index: NameIndex | null = null

  /**
   * Opens a BTF blob: the contents of an ELF section `.BTF` or of a file in /sys/kernel/btf. The bytes are not copied
   * and must not change afterwards. Checked here: that every record, id and string offset is in range, as libbpf does.
   * The kernel is stricter: see `checkBtf`.
   * @throws BpfError `truncated`, `malformed` or `unsupported` (another version)
   */
  static parse(bytes: Uint8Array, options: BtfParseOptions = {}): Btf {
    const btf = new Btf(bytes, options)
    if (options.validate === 'kernel') checkBtf(btf)
    return btf
  }

  private constructor(bytes: Uint8Array, options: BtfParseOptions) {
    const base = options.base ?? null
    const start: BtfStart = {
      firstId: base === null ? 1 : base.typeCount,
      firstStringOffset: base === null ? 0 : base.firstStringOffset + base.strings.length,
      kindOfBase: (id) => (base === null ? 0 : base.kind(id)),
    }
    const columns = parseColumns(bytes, options.name ?? '.BTF', options.baseOffset ?? 0, start)
    this.base = base
    this.littleEndian = columns.littleEndian
    this.firstId = start.firstId
    this.firstStringOffset = start.firstStringOffset
    this.typeCount = start.firstId + columns.offsets.length
    this.strings = columns.strings
    this.words = columns.words
    this.offsets = columns.offsets
    this.#bytes = bytes
  }

  /**
   * Bytes of a pointer: the size of `long` where the BTF has that type, else 8. (BPF objects always have 8; the BTF of
   * a 32-bit kernel has 4.)
   */
  get pointerSize(): 4 | 8 {
    if (this.#pointerSize === 0) this.#pointerSize = pointerSizeOf(this)
    return this.#pointerSize
  }

  /** The blob that was parsed. */
  bytes(): Uint8Array {
    return this.#bytes
  }

  /** @throws BpfError `not-found` */
  kind(id: number): BtfKind {
    return ((this.#checkedWord(id, 1) >>> 24) & 0x1f) as BtfKind
  }

  /** Name of a type, empty when it is anonymous. @throws BpfError `not-found` */
  name(id: number): string {
    return this.string(this.#checkedWord(id, 0))
  }

  /** Decodes a type; a new object at each call. @throws BpfError `not-found` */
  type(id: number): BtfType {
    this.#checkedWord(id, 0)
    return decodeType(this, id)
  }

  /** Number of members, enumerators, parameters or section variables; the linkage of a FUNC. */
  vlen(id: number): number {
    return this.#checkedWord(id, 1) & 0xffff
  }

  /** Ids of the own types, void and the base's types excluded. */
  *ids(): IterableIterator<number> {
    for (let id = this.firstId; id < this.typeCount; id++) yield id
  }

  /** The own types, decoded one by one. */
  *types(): IterableIterator<BtfType> {
    for (let id = this.firstId; id < this.typeCount; id++) yield decodeType(this, id)
  }

  /** The text at a string offset (of the base or of this BTF). @throws BpfError `not-found` */
  string(offset: number): string {
    if (offset === 0) return ''
    const owner = this.stringOwner(offset)
    const { strings } = owner
    const start = offset - owner.firstStringOffset
    const end = strings.indexOf(0, start)
    if (end < 0 || start >= strings.length) {
      throw new BpfError('not-found', `BTF has no string at offset ${offset}`)
    }
    return decodeUtf8(strings.subarray(start, end))
  }

  /** This BTF or the one below it whose strings have `offset`. */
  stringOwner(offset: number): Btf {
    if (offset >= this.firstStringOffset || this.base === null) return this
    return this.base.stringOwner(offset)
  }

  /**
   * Word `index` of a type's record: 0 name offset, 1 info, 2 size or type, then what its kind adds. For code that
   * cannot afford objects; the id must be valid.
   */
  word(id: number, index: number): number {
    if (id >= this.firstId) return this.words[(this.offsets[id - this.firstId] as number) + index] as number
    return this.base === null ? 0 : this.base.word(id, index)
  }

  /**
   * The lowest id of a type with exactly this name (and kind), the base's first; undefined when there is none.
   * Anonymous types are not found by the empty name; "void" is 0.
   */
  findByName(name: string, kind?: BtfKind): number | undefined {
    if (name === VOID_NAME && (kind === undefined || kind === BtfKind.VOID)) return 0
    if (name === '') return undefined
    const wanted = encodeUtf8(name)
    return this.#find(wanted, kind ?? -1)
  }

  /** Ids of all types with exactly this name, in order. */
  findAllByName(name: string): readonly number[] {
    const found: number[] = name === VOID_NAME ? [0] : []
    if (name !== '') this.#collect(encodeUtf8(name), false, found)
    return found
  }

  /**
   * Ids of all types whose essential name is `name`: "task_struct" finds `task_struct` and `task_struct___v5`.
   * A flavour is what follows the last three underscores that stand between other characters (libbpf's rule).
   */
  findByEssentialName(name: string): readonly number[] {
    const found: number[] = []
    if (name !== '') this.#collect(encodeUtf8(name), true, found)
    return found
  }

  /** The type below const, volatile, restrict and type_tag. @throws BpfError `malformed` for a loop */
  skipModifiers(id: number): number {
    this.#checkedWord(id, 0)
    return skipChain(this, id, false)
  }

  /** The type below modifiers and typedefs. @throws BpfError `malformed` for a loop */
  skipModifiersAndTypedefs(id: number): number {
    this.#checkedWord(id, 0)
    return skipChain(this, id, true)
  }

  /**
   * Size in bytes, through modifiers, typedefs, variables and arrays (libbpf's btf__resolve_size).
   * @throws BpfError `type-mismatch` for types without a size, `limit` above 4 GiB, `malformed` for loops
   */
  sizeOf(id: number): number {
    this.#checkedWord(id, 0)
    return sizeOfType(this, id)
  }

  /**
   * Alignment in bytes as libbpf's btf__align_of finds it: 1 for structs that must be packed.
   * @throws BpfError `type-mismatch` for types without one, `malformed` for loops
   */
  alignOf(id: number): number {
    this.#checkedWord(id, 0)
    const align = alignOfType(this, id)
    if (align === 0) throw new BpfError('type-mismatch', `type [${id}] ${this.name(id)} has no alignment`)
    return align
  }

  #checkedWord(id: number, index: number): number {
    if (!(id >= 0 && id < this.typeCount) || !Number.isInteger(id)) {
      throw new BpfError('not-found', `type id ${id} is not between 0 and ${this.typeCount - 1}`)
    }
    return this.word(id, index)
  }

  #find(name: Uint8Array, kind: number): number | undefined {
    const below = this.base === null ? undefined : this.base.#find(name, kind)
    if (below !== undefined) return below
    const index = this.#nameIndex()
    if (index === null) return this.#scan(name, kind)
    for (let entry = index.first(name, essentialEnd(name, 0, name.length)); entry !== 0; entry = index.after(entry)) {
      const at = this.offsets[entry - 1] as number
      if (!this.#hasName(this.words[at] as number, name, name.length, true)) continue
      if (kind < 0 || (((this.words[at + 1] as number) >>> 24) & 0x1f) === kind) return this.firstId + entry - 1
    }
    return undefined
  }

  #scan(name: Uint8Array, kind: number): number | undefined {
    const { words, offsets, strings, firstStringOffset } = this
    const first = name[0] as number
    const length = name.length
    for (let i = 0; i < offsets.length; i++) {
      const at = offsets[i] as number
      if (kind >= 0 && (((words[at + 1] as number) >>> 24) & 0x1f) !== kind) continue
      const offset = words[at] as number
      const start = offset - firstStringOffset
      if (start < 0) {
        if (this.#hasName(offset, name, length, true)) return this.firstId + i
        continue
      }
      if (strings[start] !== first) continue
      let n = 1
      while (n < length && strings[start + n] === name[n]) n++
      if (n === length && strings[start + n] === 0) return this.firstId + i
    }
    return undefined
  }

  #collect(name: Uint8Array, essential: boolean, into: number[]): void {
    if (this.base !== null) this.base.#collect(name, essential, into)
    this.#scans = SCANS_BEFORE_INDEX
    const index = this.#nameIndex() as NameIndex
    const key = essential ? name.length : essentialEnd(name, 0, name.length)
    for (let entry = index.first(name, key); entry !== 0; entry = index.after(entry)) {
      const offset = this.words[this.offsets[entry - 1] as number] as number
      if (this.#hasName(offset, name, name.length, !essential)) into.push(this.firstId + entry - 1)
    }
  }

  /** The index, once enough lookups were made for it to pay. */
  #nameIndex(): NameIndex | null {
    if (this.#index === null && ++this.#scans > SCANS_BEFORE_INDEX) this.#index = new NameIndex(this)
    return this.#index
  }

  /** Whether the string at `offset` is `name`, or (not `exact`) has it as its essential part. */
  #hasName(offset: number, name: Uint8Array, length: number, exact: boolean): boolean {
    const owner = this.stringOwner(offset)
    const { strings } = owner
    const start = offset - owner.firstStringOffset
    for (let i = 0; i < length; i++) if (strings[start + i] !== name[i]) return false
    const after = start + length
    if (strings[after] === 0) return exact || essentialEnd(strings, start, after) === after
    if (exact) return false
    let end = after
    while (strings[end] !== 0) end++
    return essentialEnd(strings, start, end) === after
  }
}
