/* One program for each kind of hook that a test can attach without leaving its own process, namespace or cgroup. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define SEEN(name) volatile __u64 name##_count; volatile __u64 name##_cookie
#define IS_TARGET() ((bpf_get_current_pid_tgid() >> 32) == target_pid)

volatile __u32 target_pid;

struct task_struct {
	int pid;
	int tgid;
	char comm[16];
} __attribute__((preserve_access_index));

struct seq_file;
struct bpf_nf_ctx;
struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
} __attribute__((preserve_access_index));
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));
struct bpf_map;
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
} __attribute__((preserve_access_index));

SEEN(raw_tp);
SEC("raw_tp/sys_enter")
int on_raw_tp(void *ctx)
{
	if (IS_TARGET()) {
		__sync_fetch_and_add(&raw_tp_count, 1);
		raw_tp_cookie = bpf_get_attach_cookie(ctx);
	}
	return 0;
}

SEEN(tp_btf);
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_tp_btf, struct task_struct *task)
{
	__sync_fetch_and_add(&tp_btf_count, 1);
	tp_btf_cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEEN(tp);
SEC("tp/sched/sched_process_exec")
int on_tp(void *ctx)
{
	__sync_fetch_and_add(&tp_count, 1);
	tp_cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEEN(perf);
SEC("perf_event")
int on_perf(struct bpf_perf_event_data *ctx)
{
	__sync_fetch_and_add(&perf_count, 1);
	perf_cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEEN(uprobe);
SEC("uprobe")
int on_uprobe(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&uprobe_count, 1);
	uprobe_cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEEN(uretprobe);
volatile __u64 uretprobe_result;
SEC("uretprobe")
int BPF_KRETPROBE(on_uretprobe, long result)
{
	__sync_fetch_and_add(&uretprobe_count, 1);
	uretprobe_result = result;
	return 0;
}

SEEN(uprobe_multi);
volatile __u64 uprobe_multi_cookies;
SEC("uprobe.multi")
int on_uprobe_multi(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&uprobe_multi_count, 1);
	__sync_fetch_and_add(&uprobe_multi_cookies, bpf_get_attach_cookie(ctx));
	return 0;
}

SEEN(uprobe_session);
SEC("uprobe.session")
int on_uprobe_session(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&uprobe_session_count, 1);
	return 0;
}

SEEN(kprobe);
SEC("kprobe/do_unlinkat")
int on_kprobe(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&kprobe_count, 1);
	return 0;
}

SEC("iter/task")
int walk_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	static const char format[] = "%d %s\n";

	if (!task)
		return 0;
	__u64 args[] = { task->tgid, (__u64)(long)task->comm };
	bpf_seq_printf(ctx->meta->seq, format, sizeof(format), args, sizeof(args));
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} walked SEC(".maps");

SEC("iter/bpf_map_elem")
int walk_map(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;
	__u64 *value = ctx->value;
	static const char format[] = "%u=%llu\n";

	if (!key || !value)
		return 0;
	__u64 args[] = { *key, *value };
	bpf_seq_printf(ctx->meta->seq, format, sizeof(format), args, sizeof(args));
	return 0;
}

SEEN(xdp);
SEC("xdp")
int on_xdp(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&xdp_count, 1);
	return XDP_PASS;
}

SEC("xdp")
int drop_xdp(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEEN(tcx);
SEC("tcx/ingress")
int on_tcx(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&tcx_count, 1);
	return -1; /* TCX_NEXT */
}

SEEN(tcx_first);
/* What the other program had counted when this one ran last: its place in the list. */
volatile __u64 tcx_first_before;
SEC("tcx/ingress")
int on_tcx_first(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&tcx_first_count, 1);
	tcx_first_before = tcx_count;
	return -1;
}

SEEN(netfilter);
SEC("netfilter")
int on_netfilter(struct bpf_nf_ctx *ctx)
{
	__sync_fetch_and_add(&netfilter_count, 1);
	return 1; /* NF_ACCEPT */
}

SEEN(sk_lookup);
SEC("sk_lookup")
int on_sk_lookup(struct bpf_sk_lookup *ctx)
{
	__sync_fetch_and_add(&sk_lookup_count, 1);
	return 1; /* SK_PASS */
}

SEEN(dissector);
SEC("flow_dissector")
int on_dissector(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&dissector_count, 1);
	return 129; /* BPF_FLOW_DISSECTOR_CONTINUE */
}

#define CGROUP(name, section, context)                                                                                 \
	SEEN(name);                                                                                                    \
	SEC(section)                                                                                                   \
	int on_##name(struct context *ctx)                                                                             \
	{                                                                                                              \
		__sync_fetch_and_add(&name##_count, 1);                                                                \
		return 1;                                                                                              \
	}
CGROUP(ingress, "cgroup_skb/ingress", __sk_buff)
CGROUP(egress, "cgroup_skb/egress", __sk_buff)
CGROUP(sock_create, "cgroup/sock_create", bpf_sock)
CGROUP(sock_release, "cgroup/sock_release", bpf_sock)
CGROUP(bind4, "cgroup/bind4", bpf_sock_addr)
CGROUP(bind6, "cgroup/bind6", bpf_sock_addr)
CGROUP(post_bind4, "cgroup/post_bind4", bpf_sock)
CGROUP(post_bind6, "cgroup/post_bind6", bpf_sock)
CGROUP(connect4, "cgroup/connect4", bpf_sock_addr)
CGROUP(connect6, "cgroup/connect6", bpf_sock_addr)
CGROUP(connect_unix, "cgroup/connect_unix", bpf_sock_addr)
CGROUP(sendmsg4, "cgroup/sendmsg4", bpf_sock_addr)
CGROUP(sendmsg6, "cgroup/sendmsg6", bpf_sock_addr)
CGROUP(sendmsg_unix, "cgroup/sendmsg_unix", bpf_sock_addr)
CGROUP(recvmsg4, "cgroup/recvmsg4", bpf_sock_addr)
CGROUP(recvmsg6, "cgroup/recvmsg6", bpf_sock_addr)
CGROUP(recvmsg_unix, "cgroup/recvmsg_unix", bpf_sock_addr)
CGROUP(getpeername4, "cgroup/getpeername4", bpf_sock_addr)
CGROUP(getpeername6, "cgroup/getpeername6", bpf_sock_addr)
CGROUP(getpeername_unix, "cgroup/getpeername_unix", bpf_sock_addr)
CGROUP(getsockname4, "cgroup/getsockname4", bpf_sock_addr)
CGROUP(getsockname6, "cgroup/getsockname6", bpf_sock_addr)
CGROUP(getsockname_unix, "cgroup/getsockname_unix", bpf_sock_addr)
CGROUP(sysctl, "cgroup/sysctl", bpf_sysctl)
CGROUP(getsockopt, "cgroup/getsockopt", bpf_sockopt)
CGROUP(setsockopt, "cgroup/setsockopt", bpf_sockopt)
CGROUP(device, "cgroup/dev", bpf_cgroup_dev_ctx)
CGROUP(sockops, "sockops", bpf_sock_ops)

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

SEEN(verdict);
SEC("sk_skb/stream_verdict")
int on_verdict(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&verdict_count, 1);
	return SK_PASS;
}

SEEN(parser);
SEC("sk_skb/stream_parser")
int on_parser(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&parser_count, 1);
	return skb->len;
}

SEEN(sk_msg);
SEC("sk_msg")
int on_sk_msg(struct sk_msg_md *msg)
{
	__sync_fetch_and_add(&sk_msg_count, 1);
	return SK_PASS;
}

SEC("socket")
int on_socket(struct __sk_buff *skb)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
