import { BpfError } from '../../bytes/index.ts'
import type { Link, LinkDetails, ProgramRef } from '../../loader/index.ts'

/** One or more links that come and go together, with something to clean up behind them. */
export class LinkGroup implements Link {
  readonly #links: readonly [Link, ...Link[]]
  readonly #what: string
  readonly #release: () => void
  #closed = false
  #pinned = false

  /** Takes over the links. `release` is called once when they are closed, unless they are pinned. */
  constructor(links: readonly [Link, ...Link[]], what: string, release: () => void) {
    this.#links = links
    this.#what = what
    this.#release = release
  }

  get fd(): number {
    return this.#links[0].fd
  }

  get closed(): boolean {
    return this.#closed
  }

  /** What the kernel says of the first link, and how many there are. */
  info(): LinkDetails {
    return { ...this.#links[0].info(), links: this.#links.length }
  }

  update(program: ProgramRef, expected?: ProgramRef): void {
    for (const link of this.#links) link.update(program, expected)
  }

  detach(): void {
    for (const link of this.#links) link.detach()
  }

  pin(path: string): void {
    if (this.#links.length > 1) {
      throw new BpfError(
        'unsupported',
        `${this.#what} is ${this.#links.length} links of the kernel, which have no one pin`,
      )
    }
    this.#links[0].pin(path)
    this.#pinned = true
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const link of this.#links) link.close()
    if (!this.#pinned) this.#release()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
