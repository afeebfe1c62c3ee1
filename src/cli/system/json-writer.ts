/**
 * Writes JSON in exactly bpftool's layout: keys in the order they come, four spaces a level when indented, no line
 * break before the first brace of an array. Values may be text that is JSON already.
 */
export class JsonWriter {
  /** Indented over several lines. */
  readonly pretty: boolean
  #out = ''
  #depth = 0
  #separator = ''

  constructor(pretty: boolean) {
    this.pretty = pretty
  }

  get depth(): number {
    return this.#depth
  }

  object(body: () => void): this {
    return this.#nest('{', '}', body)
  }

  array(body: () => void): this {
    return this.#nest('[', ']', body)
  }

  name(name: string): this {
    this.#separate()
    this.#line()
    this.#separator = ''
    this.#out += `${quoted(name)}:${this.pretty ? ' ' : ''}`
    return this
  }

  string(value: string): this {
    return this.raw(quoted(value))
  }

  /** A number, true, false, or text in JSON. */
  raw(value: string | number | bigint | boolean): this {
    this.#separate()
    this.#out += String(value)
    return this
  }

  field(name: string, value: string | number | bigint | boolean): this {
    this.name(name)
    return typeof value === 'string' ? this.string(value) : this.raw(value)
  }

  /** Bytes as an array of "0x.." strings. */
  bytes(value: Uint8Array): this {
    return this.array(() => {
      for (const byte of value) this.string(`0x${byte.toString(16).padStart(2, '0')}`)
    })
  }

  toString(): string {
    return this.#out
  }

  #nest(open: string, close: string, body: () => void): this {
    this.#separate()
    this.#out += open
    this.#depth++
    this.#separator = ''
    body()
    this.#depth--
    if (this.#separator !== '') this.#line()
    this.#out += close
    this.#separator = ','
    return this
  }

  #separate(): void {
    this.#out += this.#separator
    this.#separator = ','
  }

  #line(): void {
    if (this.pretty) this.#out += `\n${'    '.repeat(this.#depth)}`
  }
}

/** A string with the escapes that bpftool knows, and all other control characters as JSON wants them. */
function quoted(text: string): string {
  return JSON.stringify(text)
}
