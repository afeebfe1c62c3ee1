// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
// Programs that race over one map each, from several threads of a shared vm. A packet says which key to use.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define MAP(name, map_type, entries, key_type, value_type) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, entries); \
		__type(key, key_type); \
		__type(value, value_type); \
	} name SEC(".maps")

struct guarded {
	struct bpf_spin_lock lock;
	__u32 wrong;
	__u64 first;
	__u64 second;
};

/** So long that a copy takes its time. */
struct wide {
	struct bpf_spin_lock lock;
	__u32 words[101];
};

struct prefix {
	__u32 bits;
	__u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 64);
	__type(value, __u32);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 64);
	__type(value, __u32);
} stack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 4096);
	__type(value, __u32);
} bloom SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u64);
} grown SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} routes SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} odd SEC(".maps"), even SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} by_index SEC(".maps") = { .values = { &even, &odd } };

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} by_key SEC(".maps") = { .values = { [1] = &even, [2] = &odd } };

MAP(counters, BPF_MAP_TYPE_ARRAY, 4, __u32, __u64);
MAP(guards, BPF_MAP_TYPE_ARRAY, 1, __u32, struct guarded);
MAP(wide, BPF_MAP_TYPE_ARRAY, 1, __u32, struct wide);
MAP(guarded_hash, BPF_MAP_TYPE_HASH, 4, __u32, struct guarded);
MAP(lru, BPF_MAP_TYPE_LRU_HASH, 50, __u32, __u64);
MAP(lru_percpu, BPF_MAP_TYPE_LRU_PERCPU_HASH, 50, __u32, __u64);
MAP(pushed, BPF_MAP_TYPE_ARRAY, 1 << 14, __u32, __u32);
MAP(popped, BPF_MAP_TYPE_ARRAY, 1 << 14, __u32, __u32);

__u64 bits64;
__u32 bits32;
__u64 token;
__u64 tokens_in;
__u64 tokens_out;
__u32 sequence;

static __always_inline int packet_key(struct xdp_md *ctx, __u32 *key)
{
	__u8 *data = (void *)(long)ctx->data;

	if ((void *)(data + 14) > (void *)(long)ctx->data_end)
		return 0;
	*key = data[0] << 8 | data[1];
	return 1;
}

static __always_inline void count(__u32 which, __u64 by)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &which);

	if (value)
		__sync_fetch_and_add(value, by);
}

// Tail calls.

SEC("xdp")
int chain(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int link(struct xdp_md *ctx)
{
	count(0, 1);
	bpf_tail_call(ctx, &jumps, 0);
	return 7;
}

static long add_one(__u64 index, void *context)
{
	count(1, 1);
	return 0;
}

SEC("xdp")
int with_callback(struct xdp_md *ctx)
{
	bpf_loop(3, add_one, 0, 0);
	return 8;
}

SEC("xdp")
int choose(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 1);
	return 5;
}

// Not atomic on purpose: what another thread does in between would be lost.
static __always_inline void change(struct guarded *value)
{
	bpf_spin_lock(&value->lock);
	if (value->first != value->second)
		value->wrong = 1;
	value->first += 1;
	for (int i = 0; i < 20; i++)
		*(volatile __u32 *)&value->wrong;
	value->second += 1;
	bpf_spin_unlock(&value->lock);
}

SEC("xdp")
int locked(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct guarded *value = bpf_map_lookup_elem(&guards, &zero);

	if (!value)
		return XDP_ABORTED;
	change(value);
	return XDP_PASS;
}

SEC("xdp")
int locked_hash(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct guarded *value = bpf_map_lookup_elem(&guarded_hash, &zero);

	if (!value)
		return XDP_ABORTED;
	change(value);
	return XDP_PASS;
}

// All of a value with BPF_F_LOCK: readers that take the lock see one writer's.
SEC("xdp")
int locked_update(struct xdp_md *ctx)
{
	__u32 zero = 0, random = bpf_get_prandom_u32();
	struct wide next = {};

	for (int i = 0; i < 101; i++)
		next.words[i] = random;
	return bpf_map_update_elem(&wide, &zero, &next, BPF_F_LOCK) ? XDP_ABORTED : XDP_PASS;
}

// Atomic operations but add and compare-exchange, which workers.bpf.c has.

SEC("xdp")
int toggle(struct xdp_md *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id() & 15;

	__sync_fetch_and_xor(&bits64, 1ull << (cpu + 32));
	__sync_fetch_and_xor(&bits32, 1u << cpu);
	__sync_fetch_and_or(&bits64, 1ull << cpu);
	if (!(__sync_fetch_and_and(&bits64, ~(1ull << cpu)) & (1ull << cpu)))
		return XDP_ABORTED;
	__sync_fetch_and_or(&bits32, 1u << (cpu + 16));
	if (!(__sync_fetch_and_and(&bits32, ~(1u << (cpu + 16))) & (1u << (cpu + 16))))
		return XDP_ABORTED;
	return XDP_PASS;
}

SEC("xdp")
int exchange(struct xdp_md *ctx)
{
	__u64 mine = bpf_get_prandom_u32();

	__sync_fetch_and_add(&tokens_in, mine);
	__sync_fetch_and_add(&tokens_out, __sync_lock_test_and_set(&token, mine));
	return XDP_PASS;
}

// Elements of their key's own value, in maps that are full all the time.

SEC("xdp")
int evict(struct xdp_md *ctx)
{
	__u64 *found, value;
	__u32 key;

	if (!packet_key(ctx, &key))
		return XDP_ABORTED;
	value = key * 3ull;
	found = bpf_map_lookup_elem(&lru, &key);
	if (found && *found % 3)
		return XDP_ABORTED;
	if (bpf_map_update_elem(&lru, &key, &value, BPF_ANY))
		return XDP_ABORTED;
	if (key % 5 == 0)
		bpf_map_delete_elem(&lru, &key);
	return XDP_PASS;
}

SEC("xdp")
int evict_percpu(struct xdp_md *ctx)
{
	__u64 one = 1, *found;
	__u32 key;

	if (!packet_key(ctx, &key))
		return XDP_ABORTED;
	found = bpf_map_lookup_elem(&lru_percpu, &key);
	if (found)
		*found += 1;
	else if (bpf_map_update_elem(&lru_percpu, &key, &one, BPF_ANY))
		return XDP_ABORTED;
	return XDP_PASS;
}

SEC("xdp")
int grow(struct xdp_md *ctx)
{
	__u64 value;
	__u32 key;

	if (!packet_key(ctx, &key))
		return XDP_ABORTED;
	value = key;
	if (bpf_map_update_elem(&grown, &key, &value, BPF_ANY))
		return XDP_ABORTED;
	return bpf_map_delete_elem(&grown, &key) ? XDP_ABORTED : XDP_PASS;
}

static long visit(void *map, __u32 *key, __u64 *value, void *context)
{
	*(__u32 *)context += 1;
	return 0;
}

SEC("xdp")
int walk(struct xdp_md *ctx)
{
	__u32 seen = 0;
	long visited = bpf_for_each_map_elem(&grown, visit, &seen, 0);

	return visited == seen ? XDP_PASS : XDP_ABORTED;
}

// Prefixes of the key's own come and go below one that stays.
SEC("xdp")
int route(struct xdp_md *ctx)
{
	struct prefix narrow = { .bits = 24, .address = { 10 } };
	struct prefix host = { .bits = 32, .address = { 10, 200, 200, 200 } };
	__u32 key, value = 24, *found;

	if (!packet_key(ctx, &key))
		return XDP_ABORTED;
	narrow.address[1] = key >> 8;
	narrow.address[2] = key;
	if (bpf_map_update_elem(&routes, &narrow, &value, BPF_NOEXIST))
		return XDP_ABORTED;
	found = bpf_map_lookup_elem(&routes, &host);
	if (!found || *found != 8)
		return XDP_TX;
	host.address[1] = key >> 8;
	host.address[2] = key;
	found = bpf_map_lookup_elem(&routes, &host);
	if (!found || *found != 24)
		return XDP_REDIRECT;
	return bpf_map_delete_elem(&routes, &narrow) ? XDP_ABORTED : XDP_PASS;
}

// Each number is pushed once, by the thread that drew it.
static __always_inline int pass_on(void *map)
{
	__u32 number = __sync_fetch_and_add(&sequence, 1) & 0x3fff;
	__u32 *mark;

	if (bpf_map_push_elem(map, &number, 0) == 0) {
		mark = bpf_map_lookup_elem(&pushed, &number);
		if (mark)
			__sync_fetch_and_add(mark, 1);
	}
	if (number % 3 == 0)
		return XDP_PASS;
	if (bpf_map_pop_elem(map, &number))
		return XDP_PASS;
	mark = bpf_map_lookup_elem(&popped, &number);
	if (mark)
		__sync_fetch_and_add(mark, 1);
	return XDP_DROP;
}

SEC("xdp")
int pass_queue(struct xdp_md *ctx)
{
	return pass_on(&queue);
}

SEC("xdp")
int pass_stack(struct xdp_md *ctx)
{
	return pass_on(&stack);
}

SEC("xdp")
int remember(struct xdp_md *ctx)
{
	__u32 key;

	if (!packet_key(ctx, &key))
		return XDP_ABORTED;
	return bpf_map_push_elem(&bloom, &key, 0) ? XDP_ABORTED : XDP_PASS;
}

// Counts in one of two maps, which user space swaps.
static __always_inline int count_inside(void *map)
{
	__u64 *value;
	__u32 key = 0;

	if (!map)
		return XDP_ABORTED;
	value = bpf_map_lookup_elem(map, &key);
	if (!value)
		return XDP_ABORTED;
	__sync_fetch_and_add(value, 1);
	return XDP_PASS;
}

SEC("xdp")
int inside_array(struct xdp_md *ctx)
{
	__u32 zero = 0;

	return count_inside(bpf_map_lookup_elem(&by_index, &zero));
}

SEC("xdp")
int inside_hash(struct xdp_md *ctx)
{
	__u32 one = 1;

	return count_inside(bpf_map_lookup_elem(&by_key, &one));
}
