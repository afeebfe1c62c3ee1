import type { CliIo } from './io.ts'
import { escapeLines } from './escape.ts'
import type { ExitCode } from './exit.ts'
import { jsonText } from './json.ts'
import { styleFor, type Style } from './style.ts'

/** Options that every command takes. */
export interface GlobalOptions {
  readonly json?: boolean
  readonly pretty?: boolean
  /** Commander's name for --no-color. */
  readonly color?: boolean
  readonly baseBtf?: string
}

/** Time after which a person is told what takes so long. */
const PATIENCE_MS = 1000

/** What a command gets: where to write, and how. */
export class CliContext {
  readonly io: CliIo
  readonly style: Style
  readonly asJson: boolean
  readonly #pretty: boolean
  readonly #started = performance.now()
  #hasProgress = false
  /** Exit code when nothing is thrown. */
  exitCode: ExitCode = 0

  constructor(io: CliIo, options: GlobalOptions) {
    this.io = io
    this.#pretty = options.pretty === true
    this.asJson = options.json === true || this.#pretty
    const wanted = options.color !== false && (io.env['NO_COLOR'] ?? '') === ''
    this.style = styleFor(wanted && io.stdout.isTTY)
  }

  get pretty(): boolean {
    return this.#pretty
  }

  /** Text for people, made of escaped parts. */
  print(text: string): void {
    this.#clearProgress()
    this.io.stdout.write(text)
  }

  /** Text whose bytes scripts compare. On a terminal, control characters in it are escaped. */
  printExact(text: string): void {
    this.print(this.io.stdout.isTTY ? escapeLines(text) : text)
  }

  /** The result as JSON, compact or indented. */
  printJson(value: unknown): void {
    this.print(jsonText(value, this.#pretty))
  }

  warn(text: string): void {
    this.#clearProgress()
    this.io.stderr.write(`${this.style.yellow('warning:')} ${escapeLines(text)}\n`)
  }

  /** Says on a terminal what is going on, once a command has taken more than a second. */
  progress(what: string): void {
    if (!this.io.stderr.isTTY || performance.now() - this.#started < PATIENCE_MS) return
    this.io.stderr.write(`\r\u001b[K${escapeLines(what)} ...`)
    this.#hasProgress = true
  }

  #clearProgress(): void {
    if (!this.#hasProgress) return
    this.io.stderr.write('\r\u001b[K')
    this.#hasProgress = false
  }
}
