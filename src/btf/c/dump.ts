import { isBpfError } from '../../bytes/index.ts'
import type { Btf } from '../btf.ts'
import { NameTable, NameUses } from '../names.ts'
import { AlignmentCache, sizeOfType } from '../size.ts'
import { TextBuilder } from '../text.ts'
import { BtfKind } from '../types.ts'
import { decimal64 } from '../dump-raw.ts'
import { FlatTypes } from '../flat.ts'
import { ChainPool, declare, type DeclarationParts, MAX_DEPTH, tooDeep } from './declare.ts'
import { typeTagAttribute } from './name.ts'
import { DefinitionOrder, referencedTypes, stepLimit, tooEntangled } from './order.ts'
import { paddingUnits, writePadding, type PaddingUnit } from './padding.ts'
import { sortedIds } from './sort.ts'

/** Options of {@link dumpC}. */
export interface BtfDumpCOptions {
  /** Definitions in bpftool's order (rank, name, contents), which is the default; false keeps the order of ids. */
  readonly sort?: boolean
  /** Only these types and what they need. */
  readonly ids?: readonly number[]
  /**
   * `bpftool` repeats two faults of bpftool 7.5: the type that sorts first is missing, and type tags with the kind
   * flag are printed as btf_type_tag.
   */
  readonly compat?: 'bpftool'
}

const KFUNC_TAG = 'bpf_kfunc'
const VA_LIST = '__builtin_va_list'
const GNU_VA_LIST = '__gnuc_va_list'
/** libbpf cuts names that it makes unique at this length. */
const MAX_UNIQUE_NAME = 255

const PROLOGUE = `#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif

#ifndef __weak
#define __weak __attribute__((weak))
#endif

`
const EPILOGUE = `#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
`

/** Base types that GCC's Arm headers use without a definition. */
const MISSING_ALIASES: Readonly<Record<string, string>> = {
  __Poly8_t: 'unsigned char',
  __Poly16_t: 'unsigned short',
  __Poly64_t: 'unsigned long long',
  __Poly128_t: 'unsigned __int128',
}

/**
 * All types as a C header that compiles, as `bpftool btf dump file F format c` prints it (7.5 and newer); with
 * `compat: 'bpftool'` byte for byte.
 * @throws BpfError `malformed` for types that contain themselves, `limit` for absurd sizes, `not-found` for ids
 */
export function dumpC(btf: Btf, options: BtfDumpCOptions = {}): string {
  const names = new NameTable(btf)
  const isCompatible = options.compat === 'bpftool'
  const dumper = new CDumper(btf, names, isCompatible)
  dumper.add(PROLOGUE)
  if (options.ids !== undefined) {
    for (const id of options.ids) {
      btf.kind(id)
      dumper.dump(id)
    }
  } else {
    if (options.sort ?? true) for (const id of sortedIds(dumper.types, names, isCompatible)) dumper.dump(id)
    else for (let id = 1; id < btf.typeCount; id++) dumper.dump(id)
    dumper.kfuncs()
  }
  dumper.add(EPILOGUE)
  return dumper.toString()
}

/** By kind: word with the type that a pointer, modifier or array needs; 0 for others. */
const PASSED_ON = new Uint8Array(32)
for (const kind of [BtfKind.PTR, BtfKind.VOLATILE, BtfKind.CONST, BtfKind.RESTRICT, BtfKind.TYPE_TAG])
  PASSED_ON[kind] = 2
PASSED_ON[BtfKind.ARRAY] = 3

const NOT_EMITTED = 0
const EMITTING = 1
const EMITTED = 2

class CDumper extends TextBuilder implements DeclarationParts {
  readonly types: FlatTypes
  readonly #btf: Btf
  readonly #names: NameTable
  readonly #isCompatible: boolean
  readonly #order: DefinitionOrder
  readonly #state: Uint8Array
  /** 1 for types that were declared ahead. */
  readonly #forwarded: Uint8Array
  /** 1 for types whose name is settled; another name than their own is in `renamed`. */
  readonly #named: Uint8Array
  readonly #renamed = new Map<number, string>()
  readonly #typeNames: NameUses
  readonly #identifiers: NameUses
  readonly #alignments: AlignmentCache
  readonly chains: ChainPool = new ChainPool()
  readonly #units: readonly PaddingUnit[]
  #depth = 0
  #steps = 0
  readonly #limit: number

  constructor(btf: Btf, names: NameTable, isCompatible: boolean) {
    super(btf)
    this.#btf = btf
    this.types = new FlatTypes(btf)
    this.#limit = stepLimit(btf)
    this.#names = names
    this.#isCompatible = isCompatible
    this.#order = new DefinitionOrder(btf, this.types, referencedTypes(btf))
    this.#state = new Uint8Array(btf.typeCount)
    this.#state[0] = EMITTED
    this.#forwarded = new Uint8Array(btf.typeCount)
    this.#named = new Uint8Array(btf.typeCount)
    this.#typeNames = new NameUses(names)
    this.#identifiers = new NameUses(names)
    this.#alignments = new AlignmentCache(this.types)
    this.#units = paddingUnits(btf.pointerSize)
  }

  addName(offset: number): void {
    this.addTextAt(this.#names.bytes, offset)
  }

  hasText(offset: number): boolean {
    return this.#names.bytes[offset] !== 0
  }

  /** Writes the definition of a type after those that it needs; nothing for what was written before. */
  dump(id: number): void {
    for (const definition of this.#order.definitionsFor(id)) this.#emit(definition, 0, 0)
  }

  /** Prototypes of the kernel functions that programs may call: functions with the declaration tag bpf_kfunc. */
  kfuncs(): void {
    const btf = this.types
    this.add('\n/* BPF kfuncs */\n#ifndef BPF_NO_KFUNC_PROTOTYPES\n')
    for (let id = 1; id < btf.typeCount; id++) {
      if (this.#kind(id) !== BtfKind.DECL_TAG || (btf.word(id, 3) | 0) !== -1) continue
      if (!this.#names.is(btf.word(id, 0), KFUNC_TAG)) continue
      const func = btf.word(id, 2)
      if (this.#kind(func) !== BtfKind.FUNC) continue
      this.add('extern ')
      declare(this, btf.word(func, 2), btf.word(func, 0), 0)
      this.add(' __weak __ksym;\n')
    }
    this.add('#endif\n\n')
  }

  #text(offset: number): string {
    return this.#names.at(offset)
  }

  composite(id: number, level: number): void {
    if (this.types.word(id, 0) === 0) this.#structDefinition(id, level)
    else this.#structForward(id)
  }

  enumeration(id: number, level: number): void {
    if (this.types.word(id, 0) === 0) this.#enumDefinition(id, level)
    else {
      this.add('enum ')
      this.#addTypeName(id)
    }
  }

  forward(id: number): void {
    this.add(this.#kindFlag(id) ? 'union ' : 'struct ')
    this.#addTypeName(id)
  }

  typedef(id: number): void {
    this.#addUniqueName(id, this.#identifiers)
  }

  typeTag(id: number): string {
    return typeTagAttribute(this.#text(this.types.word(id, 0)), !this.#isCompatible && this.#kindFlag(id))
  }

  #kind(id: number): number {
    return (this.types.word(id, 1) >>> 24) & 0x1f
  }

  #kindFlag(id: number): boolean {
    return this.types.word(id, 1) >>> 31 !== 0
  }

  #addTypeName(id: number): void {
    this.#addUniqueName(id, this.#typeNames)
  }

  /** Writes the type's name, with a number at its end when it was used for another type before. */
  #addUniqueName(id: number, uses: NameUses): void {
    const name = this.#renamedTo(id, uses)
    if (name === undefined) this.addName(this.types.word(id, 0))
    else this.add(name)
  }

  /** The name that stands for the type's own; undefined when that is free. Names are settled at their first use. */
  #renamedTo(id: number, uses: NameUses): string | undefined {
    const offset = this.types.word(id, 0)
    if (offset === 0) return undefined
    if (this.#named[id] === 1) return this.#renamed.get(id)
    this.#named[id] = 1
    const kind = this.#kind(id)
    // Declarations without a body do not take the name.
    const hasBody = kind !== BtfKind.FWD && !(kind === BtfKind.ENUM && (this.types.word(id, 1) & 0xffff) === 0)
    const times = hasBody ? uses.count(offset) : 1
    if (times < 2) return undefined
    const name = `${this.#text(offset)}___${times}`.slice(0, MAX_UNIQUE_NAME)
    this.#renamed.set(id, name)
    return name
  }

  #isBuiltin(id: number): boolean {
    return this.#names.is(this.types.word(id, 0), VA_LIST)
  }

  /** Writes what `id` needs, and `id` itself when it stands alone (container 0) rather than inside a type. */
  #emit(start: number, container: number, depth: number): void {
    const { words, at } = this.types
    const state = this.#state
    let id = start
    let kind = 0
    // References need what they refer to.
    for (;;) {
      if (state[id] === EMITTED) return
      if (++this.#steps > this.#limit) throw tooEntangled()
      const record = at[id] as number
      kind = ((words[record + 1] as number) >>> 24) & 0x1f
      const target = PASSED_ON[kind] as number
      if (target === 0) break
      id = words[record + target] as number
    }
    if (depth > MAX_DEPTH) throw tooDeep(id)
    if (state[id] === EMITTING) {
      this.#declareAhead(id, kind, container)
      return
    }
    const btf = this.types
    const isTopLevel = container === 0
    switch (kind) {
      case BtfKind.INT: {
        // Also counts the name as used.
        const name = this.#renamedTo(id, this.#typeNames) ?? this.#text(btf.word(id, 0))
        const alias = Object.hasOwn(MISSING_ALIASES, name) ? MISSING_ALIASES[name] : undefined
        if (alias !== undefined) this.add(`typedef ${alias} ${name};\n\n`)
        state[id] = EMITTED
        break
      }
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
        if (isTopLevel) {
          this.#enumDefinition(id, 0)
          this.add(';\n\n')
        }
        state[id] = EMITTED
        break
      case BtfKind.FWD:
        this.forward(id)
        this.add(';\n\n')
        state[id] = EMITTED
        break
      case BtfKind.TYPEDEF:
        state[id] = EMITTING
        this.#emit(btf.word(id, 2), id, depth + 1)
        // It may have been written meanwhile, as a declaration ahead for something below it.
        if (this.#forwarded[id] === 0 && !this.#isBuiltin(id)) this.#typedefDefinition(id)
        state[id] = EMITTED
        break
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        this.#emitComposite(id, container, depth)
        break
      case BtfKind.FUNC_PROTO: {
        const count = btf.word(id, 1) & 0xffff
        this.#emit(btf.word(id, 2), container, depth + 1)
        for (let i = 0; i < count; i++) this.#emit(btf.word(id, 4 + i * 2), container, depth + 1)
        break
      }
      default:
        break
    }
  }

  #emitComposite(id: number, container: number, depth: number): void {
    const btf = this.types
    const isTopLevel = container === 0
    const isAnonymous = btf.word(id, 0) === 0
    this.#state[id] = EMITTING
    if (isTopLevel || isAnonymous) {
      // The members will be written here, so what they refer to has to be declared before.
      const count = btf.word(id, 1) & 0xffff
      const inner = isAnonymous ? container : id
      const { words } = btf
      const first = (btf.at[id] as number) + 4
      for (let i = 0; i < count; i++) this.#emit(words[first + i * 3] as number, inner, depth + 1)
    } else if (this.#forwarded[id] === 0 && id !== container) {
      this.#structForward(id)
      this.add(';\n\n')
      this.#forwarded[id] = 1
    }
    if (isTopLevel) {
      this.#structDefinition(id, 0)
      this.add(';\n\n')
      this.#state[id] = EMITTED
    } else {
      this.#state[id] = NOT_EMITTED
    }
  }

  /** Something inside of `id`'s definition refers to it. */
  #declareAhead(id: number, kind: number, container: number): void {
    if (this.#forwarded[id] === 1) return
    if (kind === BtfKind.STRUCT || kind === BtfKind.UNION) {
      if (id === container || this.types.word(id, 0) === 0) return
      this.#structForward(id)
      this.add(';\n\n')
      this.#forwarded[id] = 1
    } else if (kind === BtfKind.TYPEDEF) {
      if (!this.#isBuiltin(id)) this.#typedefDefinition(id)
      this.#forwarded[id] = 1
    }
  }

  #typedefDefinition(id: number): void {
    const offset = this.types.word(id, 0)
    const name = this.#renamedTo(id, this.#identifiers) ?? offset
    const target = this.types.word(id, 2)
    if (target === 0 && name === offset && this.#names.is(offset, GNU_VA_LIST)) {
      // Old versions of GCC describe it as void.
      this.add(`typedef ${VA_LIST} ${GNU_VA_LIST};\n\n`)
      return
    }
    this.add('typedef ')
    declare(this, target, name, 0)
    this.add(';\n\n')
  }

  #structForward(id: number): void {
    this.add(this.#kind(id) === BtfKind.STRUCT ? 'struct ' : 'union ')
    this.#addTypeName(id)
  }

  #structDefinition(id: number, level: number): void {
    const btf = this.types
    if (++this.#depth > MAX_DEPTH) throw tooDeep(id)
    const isStruct = this.#kind(id) === BtfKind.STRUCT
    const count = btf.word(id, 1) & 0xffff
    const size = btf.word(id, 2)
    const kindFlag = this.#kindFlag(id)
    const alignment = this.#alignments.of(id)
    const isPacked = isStruct && this.#isPacked(id)
    const indent = indentation(level + 1)
    this.add(isStruct ? 'struct ' : 'union ')
    if (btf.word(id, 0) !== 0) {
      this.#addTypeName(id)
      this.add(' ')
    }
    this.add('{')
    let end = 0
    let wasBitField = false
    for (let i = 0; i < count; i++) {
      const at = 3 + i * 3
      const type = btf.word(id, at + 1)
      const offset = btf.word(id, at + 2)
      const bits = kindFlag ? offset >>> 24 : 0
      const start = kindFlag ? offset & 0xff_ffff : offset
      const memberAlignment = isPacked ? 1 : this.#alignments.of(type)
      writePadding(this, this.#units, end, start, memberAlignment, wasBitField && bits !== 0, indent)
      this.add(indent)
      declare(this, type, btf.word(id, at), level + 1)
      this.add(bits === 0 ? ';' : `: ${bits};`)
      end = start + (bits === 0 ? this.#sizeOrZero(type) * 8 : bits)
      wasBitField = bits !== 0
    }
    if (isStruct) writePadding(this, this.#units, end, size * 8, alignment, false, indent)
    if (count > 0 || size > 0) this.add(indentation(level))
    this.add('}')
    if (isPacked) this.add(' __attribute__((packed))')
    this.#depth--
  }

  #sizeOrZero(id: number): number {
    try {
      return sizeOfType(this.#btf, id)
    } catch (error) {
      if (isBpfError(error)) return 0
      throw error
    }
  }

  /** Whether C's own layout would differ from the struct's. */
  #isPacked(id: number): boolean {
    const btf = this.types
    const count = btf.word(id, 1) & 0xffff
    const kindFlag = this.#kindFlag(id)
    let largest = 1
    for (let i = 0; i < count; i++) {
      const alignment = this.#alignments.of(btf.word(id, 4 + i * 3))
      const offset = btf.word(id, 5 + i * 3)
      const isBitField = kindFlag && offset >>> 24 !== 0
      if (alignment !== 0 && !isBitField && offset % (8 * alignment) !== 0) return true
      if (alignment > largest) largest = alignment
    }
    return btf.word(id, 2) % largest !== 0
  }

  #enumDefinition(id: number, level: number): void {
    const btf = this.types
    const count = btf.word(id, 1) & 0xffff
    this.add('enum')
    if (btf.word(id, 0) !== 0) {
      this.add(' ')
      this.#addTypeName(id)
    }
    if (count === 0) return
    const signed = this.#kindFlag(id)
    const is64 = this.#kind(id) === BtfKind.ENUM64
    const indent = indentation(level + 1)
    let fitsWord = true
    this.add(' {')
    for (let i = 0; i < count; i++) {
      const at = 3 + i * (is64 ? 3 : 2)
      const name = btf.word(id, at)
      this.add(indent)
      this.addName(name)
      const times = this.#identifiers.count(name)
      if (times > 1) this.add(`___${times}`)
      this.add(' = ')
      const low = btf.word(id, at + 1)
      if (is64) {
        const high = btf.word(id, at + 2)
        if (high !== 0) fitsWord = false
        this.add(decimal64(low, high, signed))
        this.add(signed ? 'LL,' : 'ULL,')
      } else {
        this.add(String(signed ? low | 0 : low))
        this.add(',')
      }
    }
    this.add(indentation(level))
    this.add('}')
    const size = btf.word(id, 2)
    if (size === 1) this.add(' __attribute__((mode(byte)))')
    else if (size === 8 && btf.pointerSize === 8 && fitsWord) this.add(' __attribute__((mode(word)))')
  }
}

/** libbpf indents at most this deep. */
const MAX_INDENT = 13
const INDENTS: readonly string[] = Array.from({ length: MAX_INDENT + 1 }, (_, level) => '\n' + '\t'.repeat(level))

/** A line feed and the indentation of the next line. */
function indentation(level: number): string {
  return INDENTS[Math.min(level, MAX_INDENT)] as string
}
