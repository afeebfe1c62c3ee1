import { BpfError } from '../bytes/index.ts'
import { closeFd, native } from './syscall.ts'

// A safety net only: a handle that nobody closed is closed when it is collected.
const forgotten = new FinalizationRegistry<number>((fd) => {
  closeFd(fd)
})

/** An owned file descriptor. close() may be called again; any other use after it is an error. */
export class Handle {
  readonly #what: string
  #fd: number

  /** `what` names the object in messages ("map flows"). */
  constructor(fd: number, what: string) {
    this.#fd = fd
    this.#what = what
    native().own(fd)
    forgotten.register(this, fd, this)
  }

  /** @throws BpfError `closed` */
  get fd(): number {
    if (this.#fd < 0) throw new BpfError('closed', `${this.#what} is closed`)
    return this.#fd
  }

  get closed(): boolean {
    return this.#fd < 0
  }

  close(): void {
    if (this.#fd < 0) return
    const fd = this.#fd
    this.#fd = -1
    forgotten.unregister(this)
    closeFd(fd)
  }
}
