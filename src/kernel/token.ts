import { closeSync, openSync } from 'node:fs'
import { BpfError } from '../bytes/index.ts'
import { ATTR, Cmd, errnoName } from '../uapi/index.ts'
import { Attr } from './attr.ts'
import type { NativeBinding } from './binding.ts'
import { inUserNamespace } from './permission.ts'

/** BPF_F_TOKEN_FD, the same bit for maps, programs and BTF. */
const TOKEN_FD = 1 << 16
const BPFFS = '/sys/fs/bpf'

/** Where a token and the flag that says so go in the attributes of the commands that take one. */
const PLACES: Readonly<Partial<Record<number, { readonly fd: number; readonly flags: number }>>> = {
  [Cmd.MAP_CREATE]: { fd: ATTR.MAP_CREATE.map_token_fd.offset, flags: ATTR.MAP_CREATE.map_flags.offset },
  [Cmd.PROG_LOAD]: { fd: ATTR.PROG_LOAD.prog_token_fd.offset, flags: ATTR.PROG_LOAD.prog_flags.offset },
  [Cmd.BTF_LOAD]: { fd: ATTR.BTF_LOAD.btf_token_fd.offset, flags: ATTR.BTF_LOAD.btf_flags.offset },
}

let token: number | null | undefined

/**
 * Puts this process's BPF token (Linux 6.9) in the attribute of a command that takes one. A token stands for rights that
 * the initial user namespace has delegated by the options of a bpf file system: the one that LIBBPF_BPF_TOKEN_PATH names
 * (empty: none), in a user namespace otherwise /sys/fs/bpf.
 * @throws BpfError `syscall`, `not-found` when the named file system gives no token
 */
export function addToken(binding: NativeBinding, cmd: number, attr: Uint8Array): void {
  const place = PLACES[cmd]
  if (place === undefined) return
  if (token === undefined) token = findToken(binding, process.env['LIBBPF_BPF_TOKEN_PATH'])
  if (token === null) return
  const view = new DataView(attr.buffer, attr.byteOffset, attr.byteLength)
  view.setUint32(place.fd, token, true)
  view.setUint32(place.flags, view.getUint32(place.flags, true) | TOKEN_FD, true)
}

function findToken(binding: NativeBinding, path: string | undefined): number | null {
  if (path === '' || (path === undefined && !inUserNamespace())) return null
  const result = createToken(binding, path ?? BPFFS)
  if (typeof result === 'number') return result
  if (path === undefined) return null
  throw new BpfError('syscall', `${path} (LIBBPF_BPF_TOKEN_PATH) gives no BPF token: ${result.reason}`, {
    errno: result.reason,
    where: { file: path },
  })
}

function createToken(binding: NativeBinding, path: string): number | { readonly reason: string } {
  let directory: number
  try {
    directory = openSync(path, 'r')
  } catch (error) {
    return { reason: error instanceof Error && 'code' in error ? String(error.code) : String(error) }
  }
  try {
    const attr = new Attr('TOKEN_CREATE', { bpffs_fd: directory })
    const fd = binding.bpf(Cmd.TOKEN_CREATE, attr.bytes, attr.pointers)
    return fd >= 0 ? fd : { reason: errnoName(fd) }
  } finally {
    closeSync(directory)
  }
}
