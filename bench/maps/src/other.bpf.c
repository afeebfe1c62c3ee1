// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Arrays, queues, maps of maps, ring buffers and bloom filters. */
#include "maps.h"

MAP(array_1k, ARRAY, __u32, __u64, 1024, 0);
LOOKUP_UPDATE(array_1k, __u32, INDEX, 1024)
MAP(percpu_array_1k, PERCPU_ARRAY, __u32, __u64, 1024, 0);
LOOKUP_UPDATE(percpu_array_1k, __u32, INDEX, 1024)

#define QUEUE(map, kind)                                                                                              \
	struct {                                                                                                      \
		__uint(type, BPF_MAP_TYPE_##kind);                                                                    \
		__type(value, __u64);                                                                                 \
		__uint(max_entries, 1024);                                                                            \
	} map SEC(".maps");                                                                                           \
	PROGRAM(map##_push_pop)                                                                                       \
	{                                                                                                             \
		__u64 sum = 0;                                                                                        \
		LOOP(i, OPS) {                                                                                        \
			__u64 value = i;                                                                              \
			bpf_map_push_elem(&map, &value, 0);                                                           \
			bpf_map_pop_elem(&map, &value);                                                               \
			sum += value;                                                                                 \
		}                                                                                                     \
		return sum & 0xffff;                                                                                  \
	}                                                                                                             \
	PROGRAM(map##_push_peek)                                                                                      \
	{                                                                                                             \
		__u64 sum = 0, first = 5;                                                                             \
		bpf_map_push_elem(&map, &first, 0);                                                                   \
		LOOP(i, OPS) {                                                                                        \
			__u64 value = i;                                                                              \
			bpf_map_peek_elem(&map, &value);                                                              \
			sum += value;                                                                                 \
		}                                                                                                     \
		bpf_map_pop_elem(&map, &first);                                                                       \
		return sum & 0xffff;                                                                                  \
	}
QUEUE(queue, QUEUE)
QUEUE(stack, STACK)

struct inner_array {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 64);
} array_a SEC(".maps"), array_b SEC(".maps");
struct inner_hash {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct key16);
	__type(value, __u64);
	__uint(max_entries, 1024);
} hash_a SEC(".maps"), hash_b SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner_array);
} arrays SEC(".maps") = { .values = { &array_a, &array_b } };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner_hash);
} hashes SEC(".maps") = { .values = { &hash_a, &hash_b } };
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner_array);
} by_key SEC(".maps") = { .values = { &array_a, &array_b } };

#define INNER(name, outer, K, key_of, n, put)                                                                         \
	PROGRAM(name)                                                                                                 \
	{                                                                                                             \
		__u64 sum = 0;                                                                                        \
		__u32 random = state;                                                                                 \
		LOOP(i, OPS) {                                                                                        \
			__u32 at = below(n), which = at & 1;                                                          \
			__u64 value = at, *v;                                                                         \
			K key = key_of(at);                                                                           \
			void *inner = bpf_map_lookup_elem(&outer, &which);                                            \
			if (!inner)                                                                                   \
				return 1;                                                                             \
			if (put)                                                                                      \
				bpf_map_update_elem(inner, &key, &value, 0);                                          \
			else if ((v = bpf_map_lookup_elem(inner, &key)))                                              \
				sum += *v;                                                                            \
		}                                                                                                     \
		state = random;                                                                                       \
		return sum & 0xffff;                                                                                  \
	}
INNER(array_of_arrays_update, arrays, __u32, INDEX, 64, 1)
INNER(array_of_arrays_lookup, arrays, __u32, INDEX, 64, 0)
INNER(array_of_hashes_update, hashes, struct key16, KEY16, 1000, 1)
INNER(array_of_hashes_lookup, hashes, struct key16, KEY16, 1000, 0)
INNER(hash_of_arrays_lookup, by_key, __u32, INDEX, 64, 0)

struct event {
	__u64 d[4];
};
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} events SEC(".maps");

PROGRAM(ringbuf_reserve_submit)
{
	LOOP(i, OPS) {
		struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
		if (!e)
			return 1;
		e->d[0] = i;
		e->d[3] = 7;
		bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	}
	return 0;
}

PROGRAM(ringbuf_reserve_discard)
{
	LOOP(i, OPS) {
		struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
		if (!e)
			return 1;
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
	}
	return 0;
}

PROGRAM(ringbuf_output)
{
	struct event e = { { 1, 2, 3, 4 } };
	LOOP(i, OPS) {
		if (bpf_ringbuf_output(&events, &e, sizeof(e), BPF_RB_NO_WAKEUP))
			return 1;
	}
	return 0;
}

PROGRAM(ringbuf_query)
{
	__u64 sum = 0;
	LOOP(i, OPS)
		sum += bpf_ringbuf_query(&events, BPF_RB_RING_SIZE);
	return sum >> 24;
}

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__type(value, struct key16);
	__uint(max_entries, 1000);
} bloom SEC(".maps");

PROGRAM(bloom_push)
{
	__u32 random = state;
	LOOP(i, OPS) {
		struct key16 value = KEY16(below(1000));
		bpf_map_push_elem(&bloom, &value, 0);
	}
	state = random;
	return 0;
}

PROGRAM(bloom_peek)
{
	__u32 found = 0;
	__u32 random = state;
	LOOP(i, OPS) {
		struct key16 value = KEY16(below(500));
		found += bpf_map_peek_elem(&bloom, &value) == 0;
	}
	HIDE(found);
	state = random;
	return 0;
}
