/** Bits of a log level, as BPF_PROG_LOAD takes them. */
export const LogLevel = {
  /** The path that failed. */
  PATH: 1,
  /** Every path, states, precision and liveness. */
  ALL: 2,
  /** Statistics. */
  STATS: 4,
} as const

/** Characters kept when nothing else is asked for. */
export const DEFAULT_LOG_SIZE: number = 16 * 1024 * 1024

/**
 * Text of a verification. Like the kernel's it can be cut back to an earlier position (paths that turned out well leave
 * level 1 again), and keeps only the last part when it grows beyond its size.
 */
export class Log {
  readonly level: number
  readonly #size: number
  #chunks: string[] = []
  /** Position of the first chunk that is still there. */
  #start = 0
  #end = 0

  constructor(level: number, size: number = DEFAULT_LOG_SIZE) {
    this.level = level
    this.#size = size
  }

  /** Whether instructions and states are wanted. */
  get paths(): boolean {
    return (this.level & 3) !== 0
  }

  /** Whether everything is wanted. */
  get all(): boolean {
    return (this.level & 2) !== 0
  }

  /** Characters written so far. */
  get end(): number {
    return this.#end
  }

  write(text: string): void {
    if (text === '') return
    this.#chunks.push(text)
    this.#end += text.length
    if (this.#end - this.#start > 2 * this.#size) this.#forgetOldest()
  }

  /** Cuts off everything after a position that `end` had before. */
  reset(to: number): void {
    while (this.#end > to && this.#chunks.length > 0) {
      const last = this.#chunks.pop() as string
      this.#end -= last.length
      if (this.#end < to) {
        this.#chunks.push(last.slice(0, to - this.#end))
        this.#end = to
      }
    }
    this.#end = Math.min(this.#end, to)
    this.#start = Math.min(this.#start, this.#end)
  }

  toString(): string {
    const text = this.#chunks.join('')
    this.#chunks = [text]
    return text.length > this.#size ? text.slice(text.length - this.#size) : text
  }

  #forgetOldest(): void {
    const text = this.toString()
    this.#chunks = [text]
    this.#start = this.#end - text.length
  }
}
