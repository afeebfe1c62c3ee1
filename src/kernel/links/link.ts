import { BpfError } from '../../bytes/index.ts'
import type { BackendMap, BackendProgram, Link, LinkDetails, MapRef, ProgramRef } from '../../loader/index.ts'
import { AttachFlag, Cmd } from '../../uapi/index.ts'
import { Attr } from '../attr.ts'
import { Handle } from '../handle.ts'
import { pinObject, progInfo } from '../objects.ts'
import { bpf, tryBpf } from '../syscall.ts'
import { linkDetails } from './details.ts'

/** A link of the kernel (bpf_link). */
export class KernelLink implements Link {
  readonly #handle: Handle

  /** Takes over `fd`. `what` names the link in messages ("link of program count_packets"). */
  constructor(fd: number, what: string) {
    this.#handle = new Handle(fd, what)
  }

  get fd(): number {
    return this.#handle.fd
  }

  get closed(): boolean {
    return this.#handle.closed
  }

  /** Id of the link in the kernel. */
  get id(): number {
    return this.info().id
  }

  info(): LinkDetails {
    return linkDetails(this.fd)
  }

  update(program: ProgramRef, expected?: ProgramRef): void {
    const attr = new Attr('LINK_UPDATE', {
      link_fd: this.fd,
      new_prog_fd: programFd(program),
      flags: expected === undefined ? 0 : AttachFlag.REPLACE,
      old_prog_fd: expected === undefined ? undefined : programFd(expected),
    })
    bpf(Cmd.LINK_UPDATE, attr)
  }

  detach(): void {
    bpf(Cmd.LINK_DETACH, new Attr('LINK_DETACH', { link_fd: this.fd }))
  }

  pin(path: string): void {
    pinObject(this.fd, path)
  }

  close(): void {
    this.#handle.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** An attachment of kernels that have no link object for it: it lasts until `release` is called. */
export class LegacyLink implements Link {
  readonly #what: string
  readonly #handle: Handle
  readonly #release: (() => void) | null
  readonly #programId: number

  /**
   * Takes over `fd`, whose closing detaches unless `release` has to do something before.
   * @param what names it in messages
   */
  constructor(fd: number, what: string, programFd_: number, release: (() => void) | null = null) {
    this.#what = what
    this.#handle = new Handle(fd, what)
    this.#release = release
    this.#programId = progInfo(programFd_).id
  }

  get fd(): number {
    return this.#handle.fd
  }

  get closed(): boolean {
    return this.#handle.closed
  }

  info(): LinkDetails {
    void this.fd
    return { type: 0, id: 0, programId: this.#programId }
  }

  update(): void {
    this.#refuse('cannot be given another program')
  }

  detach(): void {
    this.close()
  }

  pin(): void {
    this.#refuse('cannot be pinned')
  }

  close(): void {
    if (this.#handle.closed) return
    this.#release?.()
    this.#handle.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #refuse(what: string): never {
    void this.fd
    throw new BpfError('unsupported', `${this.#what} ${what}: this kernel has no link objects for its hook`)
  }
}

/** Descriptor of a program of the kernel backend. @throws BpfError `usage`, `closed` */
export function programFd(program: ProgramRef): number {
  const raw: BackendProgram = 'raw' in program ? program.raw : program
  if (raw.fd === null) throw new BpfError('usage', 'a program of the vm cannot be attached in the kernel')
  return raw.fd
}

/** Descriptor of a map of the kernel backend. @throws BpfError `usage`, `closed` */
export function mapFd(map: MapRef): number {
  const raw: BackendMap = 'raw' in map ? map.raw : map
  if (raw.fd === null) throw new BpfError('usage', 'a map of the vm cannot be used in the kernel')
  return raw.fd
}

/** Result of LINK_CREATE: a descriptor or -errno. */
export function tryLink(fields: ConstructorParameters<typeof Attr<'LINK_CREATE'>>[1], nested = {}): number {
  return tryBpf(Cmd.LINK_CREATE, new Attr('LINK_CREATE', fields, nested))
}
