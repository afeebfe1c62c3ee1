/* Hooks on functions of the kernel, for kernels that have kprobes and trampolines. All see an unlink(2) of the test. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define SEEN(name) volatile __u64 name##_count; volatile __u64 name##_cookie
#define IS_TARGET() ((bpf_get_current_pid_tgid() >> 32) == target_pid)

volatile __u32 target_pid;

#define HOOK(name, section)                                                                                            \
	SEEN(name);                                                                                                    \
	SEC(section)                                                                                                   \
	int on_##name(void *ctx)                                                                                       \
	{                                                                                                              \
		if (IS_TARGET()) {                                                                                     \
			__sync_fetch_and_add(&name##_count, 1);                                                        \
			name##_cookie = bpf_get_attach_cookie(ctx);                                                    \
		}                                                                                                      \
		return 0;                                                                                              \
	}

HOOK(kprobe, "kprobe/vfs_unlink")
HOOK(kprobe_offset, "kprobe/vfs_unlink+0x0")
HOOK(kretprobe, "kretprobe/vfs_unlink")
HOOK(multi, "kprobe.multi/vfs_unlin*")
HOOK(retmulti, "kretprobe.multi/vfs_unlink")
HOOK(session, "kprobe.session/vfs_unlink")
HOOK(ksyscall, "ksyscall/unlink")
HOOK(kretsyscall, "kretsyscall/unlink")
HOOK(fentry, "fentry/vfs_unlink")
HOOK(fexit, "fexit/vfs_unlink")
HOOK(fmod_ret, "fmod_ret/security_path_unlink")
HOOK(lsm, "lsm/inode_unlink")
HOOK(tp, "tp/syscalls/sys_enter_unlink")
HOOK(raw_tp, "raw_tp/sys_enter")

/* Linux 7.2. */
HOOK(tracing_multi, "?fentry.multi/vfs_unlin*")
HOOK(tracing_session, "?fsession.multi/vfs_unlink")

SEEN(lsm_cgroup);
SEC("lsm_cgroup/socket_create")
int on_lsm_cgroup(void *ctx)
{
	__sync_fetch_and_add(&lsm_cgroup_count, 1);
	return 1;
}

SEEN(netkit);
SEC("netkit/primary")
int on_netkit(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&netkit_count, 1);
	return -1; /* NETKIT_NEXT */
}

char _license[] SEC("license") = "GPL";
