import { decodeUtf8, encodeUtf8, isBpfError } from '../../../bytes/index.ts'
import { Errno, HelperId } from '../../../uapi/index.ts'
import { ETH_P_IP, ETH_P_IPV6 } from '../context/skb.ts'
import { skbOf, type Helper, type HelperGroup } from './helper.ts'

/** Kind of bpf_lwt_push_encap: an IP header, with what may follow. The others are segment routing. */
const LWT_ENCAP_IP = 2
/** BPF_F_BPRM_SECUREEXEC. */
const SECURE_EXEC = 1

/** bpf_d_path(path, buffer, size): the path of a file of createVm().file(), with its zero byte. */
const dPath: Helper = (rt, path, _buffer, size) => {
  const buffer = rt.pointer(2, size, 'a buffer')
  if (size === 0) return 0
  const file = rt.kernel.fileAt(path)
  if (file === null) return -Errno.EINVAL
  const bytes = encodeUtf8(file.path)
  if (bytes.length + 1 > size) return -Errno.ENAMETOOLONG
  rt.memory.write(buffer, bytes)
  rt.memory.fill(buffer + bytes.length, 0, 1)
  return bytes.length + 1
}

/** bpf_btf_find_by_name_kind(name, size, kind, flags): the id of a type of the kernel. */
const findType: Helper = (rt, _name, size, kind) => {
  const name = rt.pointer(1, size, 'a name')
  if (rt.low(4) !== 0 || size <= 1) return -Errno.EINVAL
  const bytes = rt.memory.read(name, size)
  if (bytes.at(-1) !== 0) return -Errno.EINVAL
  const btf = rt.options.btf()
  if (btf === null) return -Errno.ENOENT
  try {
    return (
      btf.findByName(decodeUtf8(bytes.subarray(0, bytes.indexOf(0))), kind as Parameters<typeof btf.findByName>[1]) ??
      -Errno.ENOENT
    )
  } catch (error) {
    if (isBpfError(error)) return -Errno.EINVAL
    throw error
  }
}

/** bpf_lwt_push_encap(skb, type, header, size): an IP header in front of the packet's. */
const pushEncap: Helper = (rt, _skb, type, _header, size) => {
  const header = rt.pointer(3, size, 'a header')
  const version = size === 0 ? 0 : (rt.memory.u8[header] as number) >> 4
  if (type !== LWT_ENCAP_IP || (version !== 4 && version !== 6)) return -Errno.EINVAL
  if (size < (version === 4 ? 20 : 40)) return -Errno.EINVAL
  const skb = skbOf(rt)
  if (!skb.insert(0, size)) return -Errno.ENOMEM
  rt.memory.copy(skb.data, header, size)
  skb.net = skb.data
  skb.encapsulated = true
  skb.protocol = version === 4 ? ETH_P_IP : ETH_P_IPV6
  skb.publish()
  return 0
}

/** What programs ask of the rest of the kernel. */
export const KERNEL_HELPERS: HelperGroup = {
  [HelperId.d_path]: dPath,
  [HelperId.btf_find_by_name_kind]: findType,
  // The vm has no symbols of a kernel, no measurements of files and no memory mappings.
  [HelperId.kallsyms_lookup_name]: (rt, _name, size) => {
    const result = rt.pointer(4, 8, 'an address')
    const name = rt.pointer(1, size, 'a name')
    rt.memory.setU64(result, 0n)
    if (rt.low(3) !== 0 || size <= 1 || rt.memory.u8[name + size - 1] !== 0) return -Errno.EINVAL
    return -Errno.ENOENT
  },
  [HelperId.ima_inode_hash]: () => -Errno.EOPNOTSUPP,
  [HelperId.ima_file_hash]: () => -Errno.EOPNOTSUPP,
  [HelperId.find_vma]: (rt) => (rt.arg64(5) === 0n ? -Errno.ENOENT : -Errno.EINVAL),
  [HelperId.bprm_opts_set]: (rt, _bprm, _flags) => {
    const flags = rt.flags(2)
    if ((flags & ~SECURE_EXEC) !== 0) return -Errno.EINVAL
    rt.effect('bpf_bprm_opts_set', { flags })
    return 0
  },
  // Packets of test runs came through no IPsec.
  [HelperId.skb_get_xfrm_state]: (rt, _skb, _index, _state, size) => {
    rt.memory.fill(rt.pointer(3, size, 'struct bpf_xfrm_state'), 0, size)
    return -Errno.EINVAL
  },
  [HelperId.lwt_push_encap]: pushEncap,
}
