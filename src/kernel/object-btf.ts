import { encodeUtf8 } from '../bytes/index.ts'
import { BtfKind, type Btf } from '../btf/index.ts'
import { Cmd, STRUCT, errnoName } from '../uapi/index.ts'
import { Attr } from './attr.ts'
import { btfFeatures } from './btf-features.ts'
import { sanitizeBtf } from './sanitize-btf.ts'
import { loadCalls } from './log.ts'
import { closeFd, makeCalls, native } from './syscall.ts'

/** Words of a type record, after its name offset: info, size or type, then what the kind adds. */
const INFO = 1
const SIZE = 2
const REST = 3
const FUNC_GLOBAL = 1
const VAR_GLOBAL = 1
const EXTERN = 2
const DUMMY = 'dummy_ksym'

/**
 * The blob to give the kernel. Externs of kernel symbols and configuration values are undefined variables and functions
 * for the compiler, which the kernel's BTF check refuses: they become defined ones, and entries of `.ksyms` become
 * ints, as libbpf does. Without externs this is the object's own blob.
 */
export function blobForKernel(btf: Btf): Uint8Array {
  const edit = new ExternEdit(btf)
  return edit.changed ? edit.bytes() : btf.bytes()
}

class ExternEdit {
  changed = false
  readonly #btf: Btf
  readonly #words: Uint32Array
  readonly #appended: number[] = []
  #appendedTypes = 0
  #dummyName = 0
  #intId = 0
  #dummyId = 0

  constructor(btf: Btf) {
    this.#btf = btf
    this.#words = btf.words.slice()
    for (const id of btf.ids()) {
      const kind = btf.kind(id)
      if (kind === BtfKind.FUNC && (this.#word(id, INFO) & 0xffff) === EXTERN) this.#defineFunction(id)
      else if (kind === BtfKind.VAR && this.#word(id, REST) === EXTERN) this.#set(id, REST, VAR_GLOBAL)
      else if (kind === BtfKind.DATASEC) this.#editSection(id)
    }
  }

  bytes(): Uint8Array {
    const header = STRUCT.btf_header
    const dummy = encodeUtf8(`${DUMMY}\0`)
    const typeBytes = (this.#words.length + this.#appended.length) * 4
    const stringBytes = this.#btf.strings.length + (this.#dummyName === 0 ? 0 : dummy.length)
    // Without the layout section of Linux 7.2, which older kernels do not know.
    const start = STRUCT.btf_header.layout_off.offset
    const bytes = new Uint8Array(start + typeBytes + stringBytes)
    const view = new DataView(bytes.buffer)
    view.setUint16(header.magic.offset, 0xeb9f, true)
    view.setUint8(header.version.offset, 1)
    view.setUint32(header.hdr_len.offset, start, true)
    view.setUint32(header.type_len.offset, typeBytes, true)
    view.setUint32(header.str_off.offset, typeBytes, true)
    view.setUint32(header.str_len.offset, stringBytes, true)
    let at = start
    for (const word of this.#words) {
      view.setUint32(at, word, true)
      at += 4
    }
    for (const word of this.#appended) {
      view.setUint32(at, word, true)
      at += 4
    }
    bytes.set(this.#btf.strings, at)
    if (this.#dummyName !== 0) bytes.set(dummy, at + this.#btf.strings.length)
    return bytes
  }

  #defineFunction(id: number): void {
    this.#set(id, INFO, (this.#word(id, INFO) & ~0xffff) | FUNC_GLOBAL)
    // Parameters of declarations have no names; those of definitions must.
    const proto = this.#word(id, SIZE)
    if (proto === 0 || this.#btf.kind(proto) !== BtfKind.FUNC_PROTO) return
    const count = this.#btf.vlen(proto)
    for (let i = 0; i < count; i++) {
      const at = REST + i * 2
      if (this.#word(proto, at) === 0 && this.#word(proto, at + 1) !== 0) this.#set(proto, at, this.#dummyString())
    }
  }

  #editSection(id: number): void {
    const name = this.#btf.name(id)
    const count = this.#btf.vlen(id)
    if (name === '.ksyms') {
      for (let i = 0; i < count; i++) {
        const at = REST + i * 3
        const entry = this.#word(id, at)
        // A variable stays itself, as an int; a function makes room for a stand-in.
        if (this.#btf.kind(entry) === BtfKind.VAR) this.#set(entry, SIZE, this.#dummyInt())
        else this.#set(id, at, this.#dummyVariable())
        this.#set(id, at + 1, i * 4)
        this.#set(id, at + 2, 4)
      }
      this.#set(id, SIZE, count * 4)
    } else if (name === '.kconfig' && this.#word(id, SIZE) === 0) {
      let offset = 0
      for (let i = 0; i < count; i++) {
        const at = REST + i * 3
        const size = this.#word(id, at + 2)
        const alignment = Math.min(8, Math.max(1, size & -size))
        offset = Math.ceil(offset / alignment) * alignment
        this.#set(id, at + 1, offset)
        offset += size
      }
      this.#set(id, SIZE, offset)
    }
  }

  #dummyString(): number {
    this.#dummyName = this.#btf.strings.length
    return this.#dummyName
  }

  /** An int of 4 bytes, added behind the object's types at first use. */
  #dummyInt(): number {
    if (this.#intId === 0) {
      const signed = 1 << 24
      this.#intId = this.#append([this.#dummyString(), BtfKind.INT << 24, 4, signed | 32])
    }
    return this.#intId
  }

  /** `int dummy_ksym`. */
  #dummyVariable(): number {
    if (this.#dummyId === 0) {
      const int = this.#dummyInt()
      this.#dummyId = this.#append([this.#dummyString(), BtfKind.VAR << 24, int, VAR_GLOBAL])
    }
    return this.#dummyId
  }

  #append(words: readonly number[]): number {
    this.#appended.push(...words)
    this.#appendedTypes++
    return this.#btf.typeCount + this.#appendedTypes - 1
  }

  #word(id: number, index: number): number {
    return this.#words[this.#at(id) + index] as number
  }

  #set(id: number, index: number, value: number): void {
    this.#words[this.#at(id) + index] = value
    this.changed = true
  }

  #at(id: number): number {
    return this.#btf.offsets[id - this.#btf.firstId] as number
  }
}

function loadBlob(blob: Uint8Array): { result: number; log: string } {
  const attrOf = (buffer: Uint8Array | undefined, level: number): Attr<'BTF_LOAD'> =>
    new Attr('BTF_LOAD', {
      btf: blob,
      btf_size: blob.length,
      btf_log_buf: buffer,
      btf_log_size: buffer?.length,
      btf_log_level: level,
    })
  return makeCalls(
    Cmd.BTF_LOAD,
    loadCalls(0, attrOf, (attr) => attr.u32('btf_log_true_size')),
  )
}

/** A BTF of an object in the kernel, shared by the maps and programs that were made with it. */
export class LoadedBtf {
  /** Null when the kernel refused it; maps and programs then do without. */
  readonly fd: number | null
  /** The kernel's log of a refusal. */
  readonly log: string
  readonly #onClose: () => void
  #users = 0
  #closed = false

  constructor(btf: Btf, onClose: () => void) {
    this.#onClose = onClose
    let { result, log } = loadBlob(blobForKernel(btf))
    if (result < 0) {
      // An older kernel may only miss a kind.
      const sanitized = sanitizeBtf(btf, btfFeatures())
      if (sanitized !== btf) ({ result, log } = loadBlob(blobForKernel(sanitized)))
    }
    if (result >= 0) native().own(result)
    this.fd = result >= 0 ? result : null
    this.log = result < 0 && log === '' ? errnoName(result) : log
  }

  /** Counts a user; the returned function must be called once when that user closes. */
  retain(): () => void {
    this.#users++
    return () => {
      this.#users--
      if (this.#users === 0) this.close()
    }
  }

  /** Closes it unless someone uses it. */
  closeIfUnused(): void {
    if (this.#users === 0) this.close()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.fd !== null) closeFd(this.fd)
    this.#onClose()
  }
}
