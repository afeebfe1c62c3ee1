import { BtfKind } from '../../../btf/index.ts'
import { contextStruct } from '../../../uapi/index.ts'
import { unsupported } from '../reject.ts'
import type { Walk } from '../walk.ts'

/** Kernel structures behind contexts. */
const KERNEL_CONTEXTS: Readonly<Record<string, string>> = {
  __sk_buff: 'sk_buff',
  xdp_md: 'xdp_buff',
  bpf_sock: 'sock',
  bpf_sock_ops: 'bpf_sock_ops_kern',
  bpf_sock_addr: 'bpf_sock_addr_kern',
  bpf_sockopt: 'bpf_sockopt_kern',
  bpf_sysctl: 'bpf_sysctl_kern',
  sk_msg_md: 'sk_msg',
  sk_reuseport_md: 'sk_reuseport_kern',
  bpf_sk_lookup: 'bpf_sk_lookup_kern',
  bpf_perf_event_data: 'bpf_perf_event_data_kern',
  pt_regs: 'pt_regs',
}

/** The kernel's structure behind the contexts of a program type. */
export function kernelContext(walk: Walk, type: number): number {
  const struct = KERNEL_CONTEXTS[contextStruct(type) ?? '']
  const id = struct === undefined ? undefined : walk.facts.kernelBtf?.findByName(struct, BtfKind.STRUCT)
  return id ?? unsupported('the kernel type of this context')
}
