/* Writes events from test runs: how many, and what to do with each, is in the packet. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef NULL
#define NULL ((void *)0)
#endif

struct event {
	__u32 number;
	__u32 size;
	__u64 sum;
};

struct request {
	__u32 count;
	/* Every n-th record is discarded; 0 for none. */
	__u32 discard_every;
	__u32 to_second;
	__u32 first;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
	__type(value, struct event);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} untyped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
	__type(value, struct event);
} commands SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

volatile __u64 dropped;
volatile __u32 speed = 3;
struct {
	int x;
	int y;
} volatile point;
const volatile __u32 constant = 5;
/* Keeps the type in BTF. */
struct request unused_request;
struct event unused_event;

static int take_request(struct __sk_buff *skb, struct request *request)
{
	return bpf_skb_load_bytes(skb, 0, request, sizeof(*request));
}

static long write_one(__u32 i, struct request *request)
{
	struct event *event = request->to_second ? bpf_ringbuf_reserve(&untyped, sizeof(*event), 0) :
						   bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		__sync_fetch_and_add(&dropped, 1);
		return 0;
	}
	event->number = request->first + i;
	event->size = sizeof(*event);
	event->sum = (__u64)event->number * 3;
	if (request->discard_every && i % request->discard_every == 0)
		bpf_ringbuf_discard(event, 0);
	else
		bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("tc")
int write_ring(struct __sk_buff *skb)
{
	struct request request = {};

	if (take_request(skb, &request))
		return 1;
	bpf_loop(request.count, write_one, &request, 0);
	return 0;
}

struct perf_request {
	struct __sk_buff *skb;
	__u32 first;
};

static long write_one_perf(__u32 i, struct perf_request *request)
{
	struct event event = { .number = request->first + i, .size = sizeof(event) };

	event.sum = (__u64)event.number * 3;
	if (bpf_perf_event_output(request->skb, &perf, BPF_F_CURRENT_CPU, &event, sizeof(event)))
		__sync_fetch_and_add(&dropped, 1);
	return 0;
}

SEC("tc")
int write_perf(struct __sk_buff *skb)
{
	struct request request = {};
	struct perf_request perf_request = { .skb = skb };

	if (take_request(skb, &request))
		return 1;
	perf_request.first = request.first;
	bpf_loop(request.count, write_one_perf, &perf_request, 0);
	return 0;
}

volatile __u64 received;
static long receive(struct bpf_dynptr *dynptr, void *unused)
{
	struct event event;

	if (bpf_dynptr_read(&event, sizeof(event), dynptr, 0, 0))
		return 1;
	__sync_fetch_and_add(&received, event.sum);
	return 0;
}

SEC("tc")
int take_commands(struct __sk_buff *skb)
{
	return bpf_user_ringbuf_drain(&commands, receive, NULL, 0);
}

SEC("tc")
int use_globals(struct __sk_buff *skb)
{
	__u32 key = 1;
	__u64 *slot = bpf_map_lookup_elem(&slots, &key);

	if (slot)
		*slot += speed;
	point.x++;
	return point.y + constant;
}

char _license[] SEC("license") = "GPL";
