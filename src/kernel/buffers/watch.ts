import type { EventWatch } from '../../loader/index.ts'
import type { NativePoller } from '../binding.ts'
import { native } from '../syscall.ts'

/** Waits for descriptors to become readable; stays quiet until arm(). */
export class PollWatch implements EventWatch {
  readonly #pollers: NativePoller[] = []
  readonly #ready: () => void
  #immediate: NodeJS.Immediate | null = null
  #closed = false

  /** @throws Error of libuv for a descriptor that cannot be polled */
  constructor(fds: readonly number[], ready: () => void) {
    this.#ready = ready
    const { Poller } = native()
    try {
      for (const fd of fds) {
        const poller = new Poller(fd, () => {
          this.#fire()
        })
        // A descriptor that stays readable would call back in every turn, whether anybody drains it or not.
        poller.stop()
        this.#pollers.push(poller)
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  arm(): void {
    for (const poller of this.#pollers) poller.start()
  }

  soon(): void {
    if (this.#closed) return
    this.#immediate ??= setImmediate(() => {
      this.#immediate = null
      this.#fire()
    })
  }

  close(): void {
    this.#closed = true
    if (this.#immediate !== null) clearImmediate(this.#immediate)
    this.#immediate = null
    for (const poller of this.#pollers.splice(0)) poller.close()
  }

  #fire(): void {
    if (this.#closed) return
    for (const poller of this.#pollers) poller.stop()
    this.#ready()
  }
}
