/* 50 programs of some 100 instructions each for `bench-load`: maps, a subprogram, CO-RE and a loop. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
	int tgid;
	struct task_struct *real_parent;
	char comm[16];
} __attribute__((preserve_access_index));

struct event {
	__u64 time;
	__u32 pid;
	__u32 parent;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct event);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

const volatile __u32 rounds = 4;
volatile __u64 counts[50];

static __attribute__((noinline)) int remember(__u32 pid, __u32 parent)
{
	struct event *known = bpf_map_lookup_elem(&seen, &pid), event = {};

	if (known) {
		known->parent = parent;
		return 0;
	}
	event.time = bpf_ktime_get_ns();
	event.pid = pid;
	event.parent = parent;
	return bpf_map_update_elem(&seen, &pid, &event, BPF_ANY);
}

static __always_inline int work(int number)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 pid = BPF_CORE_READ(task, pid);
	struct event *event;

	counts[number] += 1;
	for (__u32 i = 0; i < rounds && i < 8; i++)
		remember(pid + i, BPF_CORE_READ(task, real_parent, tgid));
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->time = bpf_ktime_get_ns();
	event->pid = pid;
	event->parent = number;
	BPF_CORE_READ_STR_INTO(&event->comm, task, comm);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#define PROGRAM(tens, ones)                                             \
	SEC("raw_tp/sched_switch")                                      \
	int program_##tens##ones(void *ctx)                             \
	{                                                               \
		return work(10 * tens + ones);                          \
	}
#define TEN(tens)                                                                                                     \
	PROGRAM(tens, 0)                                                                                              \
	PROGRAM(tens, 1)                                                                                              \
	PROGRAM(tens, 2)                                                                                              \
	PROGRAM(tens, 3)                                                                                              \
	PROGRAM(tens, 4)                                                                                              \
	PROGRAM(tens, 5)                                                                                              \
	PROGRAM(tens, 6)                                                                                              \
	PROGRAM(tens, 7)                                                                                              \
	PROGRAM(tens, 8)                                                                                              \
	PROGRAM(tens, 9)
TEN(0)
TEN(1)
TEN(2)
TEN(3)
TEN(4)

char _license[] SEC("license") = "GPL";
