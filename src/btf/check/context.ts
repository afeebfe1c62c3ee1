import { BpfError } from '../../bytes/index.ts'
import type { Btf } from '../btf.ts'
import { kindName } from '../layout.ts'
import { BtfKind } from '../types.ts'

/** Longest name of a kernel symbol. */
const MAX_NAME = 512

/** What the checks share: questions about types, and the error for one. */
export class CheckContext {
  readonly btf: Btf

  constructor(btf: Btf) {
    this.btf = btf
  }

  fail(id: number, message: string): never {
    const name = this.btf.name(id)
    throw new BpfError('malformed', `type [${id}] ${kindName(this.kind(id))} '${name || '(anon)'}': ${message}`, {
      where: name === '' ? {} : { symbol: name },
    })
  }

  kind(id: number): number {
    return (this.btf.word(id, 1) >>> 24) & 0x1f
  }

  vlen(id: number): number {
    return this.btf.word(id, 1) & 0xffff
  }

  kindFlag(id: number): boolean {
    return this.btf.word(id, 1) >>> 31 !== 0
  }

  /** Types whose size is that of the one they refer to. */
  isModifier(id: number): boolean {
    switch (this.kind(id)) {
      case BtfKind.TYPEDEF:
      case BtfKind.VOLATILE:
      case BtfKind.CONST:
      case BtfKind.RESTRICT:
      case BtfKind.TYPE_TAG:
        return true
      default:
        return false
    }
  }

  isComposite(id: number): boolean {
    const kind = this.kind(id)
    return kind === BtfKind.STRUCT || kind === BtfKind.UNION
  }

  /** Types that others must not refer to, but for sections and tags. */
  isOnlySource(id: number): boolean {
    const kind = this.kind(id)
    return kind === BtfKind.VAR || kind === BtfKind.DECL_TAG || kind === BtfKind.DATASEC
  }

  hasNoSize(id: number): boolean {
    switch (this.kind(id)) {
      case BtfKind.VOID:
      case BtfKind.FWD:
      case BtfKind.FUNC:
      case BtfKind.FUNC_PROTO:
      case BtfKind.DECL_TAG:
        return true
      default:
        return false
    }
  }

  /** An integer of 1, 2, 4, 8 or 16 bytes that fills them. */
  isRegularInt(id: number): boolean {
    const data = this.btf.word(id, 3)
    const bits = data & 0xff
    const offset = (data >>> 16) & 0xff
    return offset === 0 && (bits === 8 || bits === 16 || bits === 32 || bits === 64 || bits === 128)
  }

  /** Letters (the kernel's are those of Latin-1), digits, underscores and dots, not starting with a digit. */
  isIdentifier(offset: number): boolean {
    return this.#allOf(offset, (c, first) => {
      const isLatin1 = c >= 0xc0 && c !== 0xd7 && c !== 0xf7
      const isLetter = isLatin1 || ((c | 0x20) >= 0x61 && (c | 0x20) <= 0x7a)
      const isDigit = c >= 0x30 && c <= 0x39
      return isLetter || c === 0x5f || c === 0x2e || (isDigit && !first)
    })
  }

  /** Anything printable in Latin-1. */
  isSectionName(offset: number): boolean {
    return this.#allOf(offset, (c) => (c >= 0x20 && c < 0x7f) || c >= 0xa0)
  }

  #allOf(offset: number, accept: (c: number, first: boolean) => boolean): boolean {
    const { strings, firstStringOffset } = this.btf.stringOwner(offset)
    const start = offset - firstStringOffset
    let length = 0
    for (let c = strings[start] as number; c !== 0; c = strings[start + length] as number) {
      if (length >= MAX_NAME || !accept(c, length === 0)) return false
      length++
    }
    return length > 0
  }
}
