import { toHex } from '../../../bytes/index.ts'
import { Errno, UpdateFlag } from '../../../uapi/index.ts'
import { AF_UNIX, TCP_ESTABLISHED, TCP_LISTEN, type VirtualSocket } from '../kernel/socket.ts'
import { VmMap } from './map.ts'

const MAX_FD = 0x7fffffffn

/** Maps of sockets. User space writes descriptors and reads cookies (when values have 8 bytes). */
abstract class SocketMap extends VmMap {
  /** The socket of a key; null for none. */
  abstract socketAt(key: number): VirtualSocket | null

  /** Puts a socket at a key: 0 or a negative errno. */
  abstract put(key: number, socket: VirtualSocket, flags: number): number

  override lookupAt(key: number): number {
    return this.socketAt(key)?.address ?? 0
  }

  protected override userLookup(key: number, value: number): number {
    if (this.valueSize !== 8) return -Errno.ENOSPC
    const socket = this.socketAt(key)
    if (socket === null) return -Errno.ENOENT
    this.memory.setU64(value, socket.cookie)
    return 0
  }

  protected override userDelete(key: number): number {
    return this.deleteAt(key)
  }

  /** The socket that the descriptor in a value names, or a negative errno. */
  protected socketOf(value: number): VirtualSocket | number {
    const fd = this.valueSize === 8 ? this.memory.u64(value) : BigInt(this.memory.u32(value))
    if (fd > MAX_FD) return -Errno.EINVAL
    const socket = this.host.kernel.socketOf(Number(fd))
    return typeof socket === 'string' ? -Errno[socket] : socket
  }
}

/** Whether a sockmap takes the socket in its state (sock_map_sk_state_allowed). */
function isAllowed(socket: VirtualSocket): boolean {
  if (socket.isTcp) return socket.state === TCP_ESTABLISHED || socket.state === TCP_LISTEN
  if (socket.isUdp) return socket.get('src_port') !== 0
  return socket.family !== AF_UNIX || socket.state === TCP_ESTABLISHED
}

/** BPF_MAP_TYPE_SOCKMAP and SOCKHASH: sockets that programs redirect to. */
abstract class RedirectSockets extends SocketMap {
  /** By programs the value is a socket: struct bpf_sock. */
  override updateAt(key: number, value: number, flags: number): number {
    const socket = this.host.kernel.socketAt(value)
    return socket === null ? -Errno.EINVAL : this.add(key, socket, flags)
  }

  /** 0 or a negative errno. */
  add(key: number, socket: VirtualSocket, flags: number): number {
    return isAllowed(socket) ? this.put(key, socket, flags) : -Errno.EOPNOTSUPP
  }

  protected override userUpdate(key: number, value: number, flags: number): number {
    const socket = this.socketOf(value)
    return typeof socket === 'number' ? socket : this.add(key, socket, flags)
  }
}

/** BPF_NOEXIST and BPF_EXIST against the socket that a key has. */
function checkExisting(old: VirtualSocket | null, flags: number): number {
  if (old !== null && flags === UpdateFlag.NOEXIST) return -Errno.EEXIST
  return old === null && flags === UpdateFlag.EXIST ? -Errno.ENOENT : 0
}

export class SockMap extends RedirectSockets {
  readonly #slots: Map<number, VirtualSocket> = new Map()

  override socketAt(key: number): VirtualSocket | null {
    return this.#slots.get(this.memory.u32(key)) ?? null
  }

  override put(key: number, socket: VirtualSocket, flags: number): number {
    if (flags > UpdateFlag.EXIST) return -Errno.EINVAL
    const index = this.memory.u32(key)
    if (index >= this.maxEntries) return -Errno.E2BIG
    const error = checkExisting(this.socketAt(key), flags)
    if (error === 0) this.#slots.set(index, socket)
    return error
  }

  override deleteAt(key: number): number {
    return this.#slots.delete(this.memory.u32(key)) ? 0 : -Errno.EINVAL
  }

  protected override userNextKey(key: number, next: number): number {
    return this.nextIndex(key, next)
  }

  protected override release(): void {
    this.#slots.clear()
  }
}

export class SockHash extends RedirectSockets {
  readonly #sockets: Map<string, { readonly key: Uint8Array; readonly socket: VirtualSocket }> = new Map()

  override socketAt(key: number): VirtualSocket | null {
    return this.#sockets.get(this.#name(key))?.socket ?? null
  }

  override put(key: number, socket: VirtualSocket, flags: number): number {
    if (flags > UpdateFlag.EXIST) return -Errno.EINVAL
    const old = this.socketAt(key)
    const error = checkExisting(old, flags)
    if (error !== 0) return error
    if (old === null && this.#sockets.size >= this.maxEntries) return -Errno.E2BIG
    this.#sockets.set(this.#name(key), { key: this.memory.read(key, this.keySize), socket })
    return 0
  }

  override deleteAt(key: number): number {
    return this.#sockets.delete(this.#name(key)) ? 0 : -Errno.ENOENT
  }

  protected override userNextKey(key: number, next: number): number {
    const all = [...this.#sockets.entries()]
    const at = key === 0 ? -1 : all.findIndex(([name]) => name === this.#name(key))
    const found = all[at + 1]
    if (found === undefined) return -Errno.ENOENT
    this.memory.write(next, found[1].key)
    return 0
  }

  protected override release(): void {
    this.#sockets.clear()
  }

  #name(key: number): string {
    return toHex(this.memory.read(key, this.keySize))
  }
}

/** BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: sockets that bpf_sk_select_reuseport chooses from. */
export class ReuseportArray extends SocketMap {
  readonly #slots: Map<number, VirtualSocket> = new Map()

  override socketAt(key: number): VirtualSocket | null {
    return this.#slots.get(this.memory.u32(key)) ?? null
  }

  override put(key: number, socket: VirtualSocket, flags: number): number {
    const index = this.memory.u32(key)
    const error = checkExisting(this.socketAt(key), flags)
    if (error !== 0) return error
    if (!socket.isTcp && !socket.isUdp) return -Errno.ENOTSUPP
    const bound = socket.isTcp ? socket.state === TCP_LISTEN : socket.get('src_port') !== 0
    if (!bound || !socket.reuseport) return -Errno.EINVAL
    if (socket.reuseportMap !== null) return -Errno.EBUSY
    this.#release(index)
    socket.reuseportMap = this
    this.#slots.set(index, socket)
    return 0
  }

  override deleteAt(key: number): number {
    const index = this.memory.u32(key)
    if (index >= this.maxEntries) return -Errno.E2BIG
    return this.#release(index) ? 0 : -Errno.ENOENT
  }

  protected override userUpdate(key: number, value: number, flags: number): number {
    if (flags > UpdateFlag.EXIST) return -Errno.EINVAL
    if (this.memory.u32(key) >= this.maxEntries) return -Errno.E2BIG
    const socket = this.socketOf(value)
    return typeof socket === 'number' ? socket : this.put(key, socket, flags)
  }

  protected override userNextKey(key: number, next: number): number {
    return this.nextIndex(key, next)
  }

  protected override release(): void {
    for (const socket of this.#slots.values()) socket.reuseportMap = null
    this.#slots.clear()
  }

  #release(index: number): boolean {
    const socket = this.#slots.get(index)
    if (socket === undefined) return false
    socket.reuseportMap = null
    return this.#slots.delete(index)
  }
}
