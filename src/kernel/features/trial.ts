import { decodeCString } from '../../bytes/index.ts'
import { assemble, type InsnBuffer } from '../../isa/index.ts'
import { Cmd } from '../../uapi/index.ts'
import { Attr, type AttrFields } from '../attr.ts'
import { closeFd, tryBpf } from '../syscall.ts'

const LOG_SIZE = 8192

/** `r0 = 0; exit`. */
export const EMPTY: InsnBuffer = assemble('r0 = 0\nexit')

/** What the kernel said of something that was only tried. */
export interface Trial {
  /** 0, or -errno. */
  readonly result: number
  /** Verifier log; empty unless it was asked for. */
  readonly log: string
}

type ProgramFields = Omit<AttrFields<'PROG_LOAD'>, 'insns' | 'insn_cnt' | 'log_buf' | 'log_size' | 'log_level'>

/** Loads a program and hands its descriptor, or -errno, to `use`; closes it. */
export function withProgram<T>(insns: InsnBuffer, fields: ProgramFields, use: (fd: number) => T): T {
  const attr = new Attr('PROG_LOAD', { license: 'GPL', ...fields, insns: insns.toBytes(), insn_cnt: insns.length })
  const fd = tryBpf(Cmd.PROG_LOAD, attr)
  try {
    return use(fd)
  } finally {
    if (fd >= 0) closeFd(fd)
  }
}

/** Whether a program loads. */
export function loads(insns: InsnBuffer, fields: ProgramFields): boolean {
  return withProgram(insns, fields, (fd) => fd >= 0)
}

/** Loads a program with a log, and closes it. */
export function tryProgram(insns: InsnBuffer, fields: ProgramFields): Trial {
  const log = new Uint8Array(LOG_SIZE)
  const attr = new Attr('PROG_LOAD', {
    license: 'GPL',
    ...fields,
    insns: insns.toBytes(),
    insn_cnt: insns.length,
    log_buf: log,
    log_size: log.length,
    log_level: 1,
  })
  const fd = tryBpf(Cmd.PROG_LOAD, attr)
  if (fd >= 0) closeFd(fd)
  return { result: Math.min(fd, 0), log: decodeCString(log) }
}

/** Creates a map and hands its descriptor, or -errno, to `use`; closes it. */
export function withMap<T>(fields: AttrFields<'MAP_CREATE'>, use: (fd: number) => T): T {
  const fd = tryBpf(Cmd.MAP_CREATE, new Attr('MAP_CREATE', fields))
  try {
    return use(fd)
  } finally {
    if (fd >= 0) closeFd(fd)
  }
}

/** Loads BTF and hands its descriptor, or -errno, to `use`; closes it. */
export function withBtf<T>(blob: Uint8Array, use: (fd: number) => T): T {
  const fd = tryBpf(Cmd.BTF_LOAD, new Attr('BTF_LOAD', { btf: blob, btf_size: blob.length }))
  try {
    return use(fd)
  } finally {
    if (fd >= 0) closeFd(fd)
  }
}
