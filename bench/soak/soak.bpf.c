// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
// What the soak test runs for a long time: one operation on a full map each, or a realistic packet program.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define MAP(name, kind, n, K, V, more)                                                                                \
	struct {                                                                                                      \
		__uint(type, kind);                                                                                   \
		__uint(max_entries, n);                                                                               \
		__type(key, K);                                                                                       \
		__type(value, V);                                                                                     \
		__uint(map_flags, more);                                                                              \
	} name SEC(".maps")

struct value {
	__u64 runs;
	__u64 bytes;
};

struct prefix {
	__u32 length;
	__u32 address;
};

MAP(counters, BPF_MAP_TYPE_ARRAY, 256, __u32, __u64, 0);
MAP(hash, BPF_MAP_TYPE_HASH, 10000, __u32, struct value, 0);
MAP(late_hash, BPF_MAP_TYPE_HASH, 10000, __u32, struct value, BPF_F_NO_PREALLOC);
MAP(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, 5000, __u32, struct value, 0);
MAP(lru, BPF_MAP_TYPE_LRU_HASH, 10000, __u32, struct value, 0);
MAP(routes, BPF_MAP_TYPE_LPM_TRIE, 4096, struct prefix, __u32, BPF_F_NO_PREALLOC);

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1024);
	__type(value, __u32);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

// Twice as many keys as there is room for, so that maps stay full and half of what is asked for is not there.
static __always_inline __u32 random_key(__u32 room)
{
	return bpf_get_prandom_u32() % (room * 2);
}

// Counts the key, or makes room for it by taking another one out.
#define COUNT(name, map, room)                                                                                        \
	SEC("xdp") int name(struct xdp_md *ctx)                                                                       \
	{                                                                                                             \
		struct value first = { .runs = 1, .bytes = ctx->data_end - ctx->data }, *value;                       \
		__u32 key = random_key(room);                                                                         \
                                                                                                                      \
		value = bpf_map_lookup_elem(&map, &key);                                                              \
		if (value) {                                                                                          \
			value->runs++;                                                                                \
			value->bytes += first.bytes;                                                                  \
			return XDP_PASS;                                                                              \
		}                                                                                                     \
		if (!bpf_map_update_elem(&map, &key, &first, BPF_NOEXIST))                                            \
			return XDP_PASS;                                                                              \
		key = random_key(room);                                                                               \
		bpf_map_delete_elem(&map, &key);                                                                      \
		return XDP_DROP;                                                                                      \
	}

COUNT(count_hash, hash, 10000)
COUNT(count_late_hash, late_hash, 10000)
COUNT(count_percpu, percpu_hash, 5000)
COUNT(count_lru, lru, 10000)

SEC("xdp")
int count_array(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u32 key;
	__u64 *value;

	if ((void *)(data + 14) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	key = data[13];
	value = bpf_map_lookup_elem(&counters, &key);
	if (value)
		__sync_fetch_and_add(value, 1);
	data[0] += 1;
	return XDP_TX;
}

SEC("xdp")
int route(struct xdp_md *ctx)
{
	struct prefix key = { .length = 32, .address = bpf_get_prandom_u32() & 0xffff };
	__u32 hop = key.address;

	if (bpf_map_lookup_elem(&routes, &key))
		return XDP_PASS;
	key.length = 24;
	if (bpf_map_update_elem(&routes, &key, &hop, BPF_ANY)) {
		key.address = bpf_get_prandom_u32() & 0xffff;
		bpf_map_delete_elem(&routes, &key);
		return XDP_DROP;
	}
	return XDP_PASS;
}

SEC("xdp")
int queue_up(struct xdp_md *ctx)
{
	__u32 value = bpf_get_prandom_u32();

	if (!bpf_map_push_elem(&queue, &value, BPF_ANY))
		return XDP_PASS;
	bpf_map_pop_elem(&queue, &value);
	bpf_map_pop_elem(&queue, &value);
	return XDP_DROP;
}

// The ring is full before it is emptied.
SEC("xdp")
int report(struct xdp_md *ctx)
{
	struct value *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);

	if (!record)
		return XDP_DROP;
	record->runs = bpf_ktime_get_ns();
	record->bytes = ctx->data_end - ctx->data;
	bpf_ringbuf_submit(record, 0);
	return XDP_PASS;
}

// Makes room in front of the packet and takes it away again.
SEC("xdp")
int encapsulate(struct xdp_md *ctx)
{
	if (bpf_xdp_adjust_head(ctx, -20))
		return XDP_ABORTED;
	if (bpf_xdp_adjust_head(ctx, 20))
		return XDP_ABORTED;
	return XDP_TX;
}

static long add(__u32 index, __u64 *sum)
{
	*sum += index;
	return 0;
}

SEC("xdp")
int target(struct xdp_md *ctx)
{
	__u64 sum = 0;

	bpf_loop(4, add, &sum, 0);
	return sum & 3;
}

SEC("xdp")
int chain(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &next, 0);
	return XDP_ABORTED;
}
