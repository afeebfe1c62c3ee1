import { ATTR } from '../uapi/index.ts'
import { Attr, type AttrFields } from './attr.ts'
import type { Pointer } from './binding.ts'
import { native } from './syscall.ts'

const NONE: readonly Pointer[] = []

/**
 * Element operations of one map over buffers of its own. Their addresses are written to the attributes once, as memory
 * outside of the JavaScript heap does not move: a call then costs little more than the system call.
 */
export class ElementCalls {
  /** What the next call uses as key. */
  readonly key: Uint8Array
  /** Value to write, value that was read, or next key. */
  readonly value: Uint8Array
  readonly #fd: number
  readonly #withKey: boolean
  #element: PreparedCall | null = null
  #next: PreparedCall | null = null
  #first: PreparedCall | null = null
  #delete: PreparedCall | null = null

  constructor(fd: number, keySize: number, valueBytes: number) {
    this.#fd = fd
    this.#withKey = keySize > 0
    // At least a byte each, so that every buffer has an address.
    this.key = new Uint8Array(Math.max(1, keySize))
    this.value = new Uint8Array(Math.max(1, valueBytes, keySize))
  }

  /** Lookup, update, or lookup and delete. Returns 0 or -errno. */
  element(cmd: number, flags: number): number {
    this.#element ??= new PreparedCall({ map_fd: this.#fd, key: this.#keyPointer(), value: this.value })
    this.#element.setFlags(flags)
    return this.#element.run(cmd)
  }

  /** The key after `key` to `value`, or the first one. */
  next(cmd: number, first: boolean): number {
    if (first) {
      this.#first ??= new PreparedCall({ map_fd: this.#fd, next_key: this.value })
      return this.#first.run(cmd)
    }
    this.#next ??= new PreparedCall({ map_fd: this.#fd, key: this.#keyPointer(), next_key: this.value })
    return this.#next.run(cmd)
  }

  /** The kernel wants all fields behind the key to be zero. */
  delete(cmd: number): number {
    this.#delete ??= new PreparedCall({ map_fd: this.#fd, key: this.#keyPointer() })
    return this.#delete.run(cmd)
  }

  // Queues, stacks and bloom filters have no key, and the kernel wants a null pointer then.
  #keyPointer(): Uint8Array | undefined {
    return this.#withKey ? this.key : undefined
  }
}

class PreparedCall {
  readonly #bytes: Uint8Array
  readonly #flags: DataView
  #pointers: readonly Pointer[]

  constructor(fields: AttrFields<'MAP_ELEM'>) {
    const attr = new Attr('MAP_ELEM', fields)
    this.#bytes = attr.bytes
    this.#flags = new DataView(attr.bytes.buffer, ATTR.MAP_ELEM.flags.offset)
    this.#pointers = attr.pointers
  }

  setFlags(flags: number): void {
    this.#flags.setUint32(0, flags, true)
  }

  run(cmd: number): number {
    const result = native().bpf(cmd, this.#bytes, this.#pointers)
    this.#pointers = NONE
    return result
  }
}
