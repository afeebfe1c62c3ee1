import { BpfError } from '../bytes/index.ts'
import {
  decodeContext,
  encodeContext,
  type BackendProgram,
  type ContextFields,
  type ProgramStream,
  type RunInput,
  type RunOutput,
} from '../loader/index.ts'
import { Cmd, ProgType } from '../uapi/index.ts'
import { Attr } from './attr.ts'
import { Handle } from './handle.ts'
import type { KernelMap } from './map.ts'
import { progInfo, type ProgInfo } from './objects.ts'
import { pinAllAt, pinAt, unpinAt } from './pins.ts'
import { bpf, bpfError, native } from './syscall.ts'

/** Room for a packet to grow during a run: headroom, tail and GSO. */
const DATA_OUT_SLACK = 64 * 1024
/** The largest context that a type returns (struct __sk_buff and its kin), and what a syscall program may bring. */
const CTX_OUT_SIZE = 4096

/** A page, in which the kernel keeps what a stream has. */
const STREAM_CHUNK = 4096

/** A program in the kernel. */
export class KernelProgram implements BackendProgram {
  readonly name: string
  readonly type: number
  readonly log: string
  readonly #handle: Handle
  readonly #eventMaps: readonly KernelMap[]
  #dataOut = new Uint8Array(0)
  #id: number | undefined
  #onClose: (() => void) | null

  /** Takes over `fd`. `eventMaps` are the perf event arrays that it writes to. */
  constructor(
    fd: number,
    shape: { readonly name: string; readonly type: number; readonly log: string },
    eventMaps: readonly KernelMap[] = [],
    onClose: (() => void) | null = null,
  ) {
    this.name = shape.name
    this.type = shape.type
    this.log = shape.log
    this.#handle = new Handle(fd, `program ${shape.name}`)
    this.#eventMaps = eventMaps
    this.#onClose = onClose
  }

  get fd(): number {
    return this.#handle.fd
  }

  get id(): number {
    this.#id ??= this.info().id
    return this.#id
  }

  /** What the kernel says of this program. */
  info(): ProgInfo {
    return progInfo(this.fd)
  }

  /**
   * BPF_PROG_TEST_RUN. Which inputs a type takes is the kernel's business: packets need 14 bytes or more, raw
   * tracepoints and syscall programs take only a context.
   * @throws BpfError `syscall`
   */
  run(input: RunInput): RunOutput {
    // Results are copied out before the next run, so one buffer serves them all.
    const size = (input.data?.length ?? 0) + DATA_OUT_SLACK
    if (this.#dataOut.length < size) this.#dataOut = new Uint8Array(size)
    const test = this.#prepareRun(input, this.#dataOut)
    bpf(Cmd.PROG_TEST_RUN, test.attr, { program: this.name })
    return test.output()
  }

  /**
   * As run(), on a thread of libuv's pool: for runs that are repeated often enough to block the event loop. The input
   * is copied; keep the program open until the end.
   */
  async runAsync(input: RunInput): Promise<RunOutput> {
    // A caller could transfer the buffers away while the kernel reads them.
    const own: RunInput = {
      ...input,
      ...(input.data === undefined ? {} : { data: input.data.slice() }),
      ...(input.ctx === undefined ? {} : { ctx: input.ctx.slice() }),
    }
    const test = this.#prepareRun(own, new Uint8Array((input.data?.length ?? 0) + DATA_OUT_SLACK))
    const result = await native().bpfAsync(Cmd.PROG_TEST_RUN, test.attr.bytes, test.attr.pointers)
    if (result < 0) throw bpfError(Cmd.PROG_TEST_RUN, result, { program: this.name })
    return test.output()
  }

  readStream(stream: ProgramStream): Uint8Array {
    const chunks: Uint8Array[] = []
    for (;;) {
      const buffer = new Uint8Array(STREAM_CHUNK)
      const attr = new Attr('PROG_STREAM_READ_BY_FD', {
        stream_buf: buffer,
        stream_buf_len: buffer.length,
        stream_id: stream === 'stdout' ? 1 : 2,
        prog_fd: this.fd,
      })
      const length = bpf(Cmd.PROG_STREAM_READ_BY_FD, attr, { program: this.name })
      if (length === 0) return Buffer.concat(chunks)
      chunks.push(buffer.subarray(0, length))
    }
  }

  #prepareRun(given: RunInput, room: Uint8Array): { attr: Attr<'PROG_TEST_RUN'>; output: () => RunOutput } {
    const { fields, ...input } = given
    if (fields !== undefined) return this.#prepareFields(input, fields, room)
    for (const map of this.#eventMaps) map.listen()
    const isSyscall = this.type === ProgType.SYSCALL
    const contextOnly = isSyscall || this.type === ProgType.RAW_TRACEPOINT
    // These types insist on repeat 0, which others take for 1.
    const repeat = contextOnly && input.repeat === 1 ? 0 : input.repeat
    const dataOut = input.data === undefined ? undefined : room
    // A syscall program's context is written back where it came from.
    const ctxIn = isSyscall ? input.ctx?.slice() : input.ctx
    const ctxOut = input.ctx === undefined || contextOnly ? undefined : new Uint8Array(CTX_OUT_SIZE)
    const attr = new Attr('PROG_TEST_RUN', {
      prog_fd: this.fd,
      data_in: input.data,
      data_size_in: input.data?.length,
      data_out: dataOut,
      data_size_out: dataOut?.length,
      ctx_in: ctxIn,
      ctx_size_in: ctxIn?.length,
      ctx_out: ctxOut,
      ctx_size_out: ctxOut?.length,
      repeat,
      cpu: input.cpu,
      flags: input.flags,
    })
    const output = (): RunOutput => ({
      retval: attr.u32('retval'),
      data: dataOut?.slice(0, attr.u32('data_size_out')) ?? null,
      ctx: ctxOut?.slice(0, attr.u32('ctx_size_out')) ?? (isSyscall ? (ctxIn ?? null) : null),
      durationNs: attr.u32('duration'),
      trace: [],
    })
    return { attr, output }
  }

  /** A run whose context is given by field. */
  #prepareFields(
    rest: RunInput,
    fields: ContextFields,
    room: Uint8Array,
  ): { attr: Attr<'PROG_TEST_RUN'>; output: () => RunOutput } {
    if (rest.ctx !== undefined) {
      throw new BpfError('usage', 'a context is given as bytes (ctx) or by fields, not both')
    }
    const test = this.#prepareRun({ ...rest, ctx: encodeContext(this.type, fields) }, room)
    return {
      attr: test.attr,
      output: () => {
        const output = test.output()
        return { ...output, fields: decodeContext(this.type, output.ctx ?? new Uint8Array(0)) }
      },
    }
  }

  /** Pins the program at a path in a bpf file system. @throws BpfError `syscall` */
  pin(path: string): void {
    pinAt(this.fd, path)
  }

  /** Pins several objects of the kernel, all or none. @throws BpfError `syscall` */
  pinTogether(pins: readonly { readonly target: { readonly fd: number | null }; readonly path: string }[]): void {
    pinAllAt(pins.map(({ target, path }) => ({ fd: target.fd ?? -1, path })))
  }

  /** Removes a pin. @throws BpfError `syscall` */
  unpin(path: string): void {
    unpinAt(path)
  }

  close(): void {
    if (this.#handle.closed) return
    this.#handle.close()
    this.#onClose?.()
    this.#onClose = null
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
