import { BpfError, isBpfError } from '../bytes/index.ts'
import { Cmd, INSN_ARRAY } from '../uapi/index.ts'
import { Attr } from './attr.ts'
import { bpf, closeFd } from './syscall.ts'

/** struct bpf_insn_array_value: u32 orig_off, xlated_off, jitted_off, padding. */
const VALUE_SIZE = 16

/**
 * A frozen map of the slots that an indirect jump may go to (BPF_MAP_TYPE_INSN_ARRAY), as the kernel wants them: counted
 * in the program that is to be loaded. Returns its descriptor.
 * @throws BpfError `unsupported` for a kernel that does not know such maps (before Linux 6.19), `syscall`
 */
export function createJumpTable(targets: readonly number[]): number {
  const fd = createMap(targets.length)
  try {
    targets.forEach((slot, index) => {
      const value = new Uint8Array(VALUE_SIZE)
      new DataView(value.buffer).setUint32(0, slot, true)
      const key = new Uint8Array(Uint32Array.of(index).buffer)
      bpf(Cmd.MAP_UPDATE_ELEM, new Attr('MAP_ELEM', { map_fd: fd, key, value }))
    })
    bpf(Cmd.MAP_FREEZE, new Attr('MAP_ELEM', { map_fd: fd }))
    return fd
  } catch (error) {
    closeFd(fd)
    throw error
  }
}

function createMap(entries: number): number {
  const attr = new Attr('MAP_CREATE', {
    map_type: INSN_ARRAY,
    key_size: 4,
    value_size: VALUE_SIZE,
    max_entries: entries,
    map_name: 'jumptables',
  })
  try {
    return bpf(Cmd.MAP_CREATE, attr)
  } catch (error) {
    if (!isBpfError(error) || error.errno !== 'EINVAL') throw error
    throw new BpfError(
      'unsupported',
      'the program has jump tables, which this kernel does not know: they need Linux 6.19',
      {
        cause: error,
      },
    )
  }
}
