import { isatty } from 'node:tty'

/** Where text goes: standard output or error of the process, or a buffer of a test. */
export interface CliStream {
  write(text: string): void
  /** Whether a person looks at it. */
  readonly isTTY: boolean
}

/** What the command line interface needs from its surroundings. */
export interface CliIo {
  readonly stdout: CliStream
  readonly stderr: CliStream
  readonly env: Readonly<Record<string, string | undefined>>
  /**
   * Calls `cleanup` on Ctrl-C before the process ends; the returned function takes that back. Only for what outlives the
   * process, such as pins: with a handler, Ctrl-C has to wait for synchronous work (a program that runs long).
   */
  onInterrupt(cleanup: () => void): () => void
}

/** V8 encodes strings of this many characters without a large copy. */
const CHUNK = 1 << 20

/** Standard streams of this process. A closed pipe (`| head`) ends the process quietly, with exit code 0. */
export function processIo(): CliIo {
  const cleanups = new Set<() => void>()
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      for (const cleanup of cleanups) cleanup()
      process.exit(0)
    })
  }
  const interrupted = (signal: NodeJS.Signals): void => {
    for (const cleanup of cleanups) cleanup()
    process.exit(signal === 'SIGINT' ? 130 : 143)
  }
  return {
    stdout: streamOf(process.stdout, 1),
    stderr: streamOf(process.stderr, 2),
    env: process.env,
    onInterrupt(cleanup) {
      if (cleanups.size === 0) {
        process.once('SIGINT', interrupted)
        process.once('SIGTERM', interrupted)
      }
      cleanups.add(cleanup)
      return () => {
        cleanups.delete(cleanup)
        if (cleanups.size > 0) return
        process.removeListener('SIGINT', interrupted)
        process.removeListener('SIGTERM', interrupted)
      }
    },
  }
}

function streamOf(stream: NodeJS.WriteStream, fd: number): CliStream {
  return {
    isTTY: isatty(fd),
    write(text) {
      for (let at = 0; at < text.length;) {
        let end = Math.min(at + CHUNK, text.length)
        // A surrogate pair may not be cut in two.
        if (end < text.length && (text.charCodeAt(end) & 0xfc00) === 0xdc00) end--
        stream.write(text.length <= CHUNK ? text : text.slice(at, end))
        at = end
      }
    },
  }
}
