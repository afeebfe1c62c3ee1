import type { KconfigFacts } from '../loader/index.ts'

/** Linux version that the vm poses as: 6.18. */
const KERNEL_VERSION = (6 << 16) | (18 << 8)

/** Options that objects ask for most, as a common x86-64 kernel has them. */
const KCONFIG = `CONFIG_64BIT=y
CONFIG_BPF=y
CONFIG_BPF_EVENTS=y
CONFIG_BPF_JIT=y
CONFIG_BPF_SYSCALL=y
CONFIG_CC_VERSION_TEXT="elfbee"
CONFIG_CGROUPS=y
CONFIG_CGROUP_BPF=y
CONFIG_HZ=250
CONFIG_INET=y
CONFIG_IPV6=y
CONFIG_LOG_BUF_SHIFT=17
CONFIG_NET=y
CONFIG_NR_CPUS=64
CONFIG_PAGE_SHIFT=12
CONFIG_SMP=y
CONFIG_X86_64=y
`

/** What the vm says when an object asks about the configuration of its kernel. */
export const VM_KCONFIG: KconfigFacts = {
  text: KCONFIG,
  kernelVersion: KERNEL_VERSION,
  bpfCookie: true,
  syscallWrapper: true,
}
