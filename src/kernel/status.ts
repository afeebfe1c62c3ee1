import { accessSync, constants } from 'node:fs'
import { Cmd, Errno, MapType, ProgType, errnoName } from '../uapi/index.ts'
import { Attr } from './attr.ts'
import { loadBinding, type NativeBinding } from './binding.ts'
import { addToken } from './token.ts'
import { lockdownMode, permissionCauses } from './permission.ts'

/** Whether this process can use bpf(2). */
export interface KernelStatus {
  /** A map can be created and a program loaded. */
  readonly ok: boolean
  /** Why not; empty when `ok`. */
  readonly reasons: readonly string[]
  /** What is restricted although `ok`. */
  readonly notes: readonly string[]
}

const VMLINUX_BTF = '/sys/kernel/btf/vmlinux'
/** `r0 = 0; exit`. */
const EMPTY_PROGRAM = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0)

/**
 * Tries the kernel: creates a map, loads an empty program, closes both. Says precisely what is missing otherwise:
 * another OS, no addon and how to get it, which capability, sysctl, lockdown or seccomp filter. Never throws.
 */
export function kernelStatus(): KernelStatus {
  const result = loadBinding()
  if (!result.ok) return { ok: false, reasons: result.reasons, notes: [] }
  const { binding } = result
  const reasons: string[] = []
  const map = attempt(binding, Cmd.MAP_CREATE, mapAttr())
  if (map < 0) reasons.push(...explain('creating a map', -map))
  const program = attempt(binding, Cmd.PROG_LOAD, programAttr())
  if (program < 0 && program !== map) reasons.push(...explain('loading an XDP program', -program))
  const notes: string[] = []
  if (!isReadable(VMLINUX_BTF)) {
    notes.push(`${VMLINUX_BTF} cannot be read: CO-RE relocations need a BTF file of this kernel`)
  }
  const lockdown = lockdownMode()
  if (reasons.length === 0 && lockdown !== null && lockdown !== 'none') {
    notes.push(`kernel lockdown is in ${lockdown} mode: some programs and helpers are refused`)
  }
  return { ok: reasons.length === 0, reasons, notes }
}

function mapAttr(): Attr<'MAP_CREATE'> {
  return new Attr('MAP_CREATE', { map_type: MapType.ARRAY, key_size: 4, value_size: 4, max_entries: 1 })
}

function programAttr(): Attr<'PROG_LOAD'> {
  return new Attr('PROG_LOAD', { prog_type: ProgType.XDP, insn_cnt: 2, insns: EMPTY_PROGRAM, license: 'GPL' })
}

function attempt(binding: NativeBinding, cmd: number, attr: Attr<'MAP_CREATE'> | Attr<'PROG_LOAD'>): number {
  try {
    addToken(binding, cmd, attr.bytes)
  } catch {
    // What depends on the token says what is wrong with it.
  }
  const fd = binding.bpf(cmd, attr.bytes, attr.pointers)
  if (fd >= 0) binding.close(fd)
  return fd
}

function explain(what: string, errno: number): string[] {
  const name = errnoName(errno)
  if (errno === Errno.ENOSYS) {
    return [`${what} failed with ENOSYS: the kernel has no bpf(2) (CONFIG_BPF_SYSCALL), or a sandbox hides it`]
  }
  if (errno !== Errno.EPERM) return [`${what} failed with ${name}`]
  const causes = permissionCauses()
  return [`${what} failed with EPERM: ${causes.join('; ')}`]
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return true
  } catch {
    return false
  }
}
