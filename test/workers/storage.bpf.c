// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
// Values of the task that all threads of a shared vm run as.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} tasks SEC(".maps");

SEC("raw_tp/sched_switch")
int visit(void *ctx)
{
	__u64 *visits = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!visits)
		return 1;
	__sync_fetch_and_add(visits, 1);
	return 0;
}
