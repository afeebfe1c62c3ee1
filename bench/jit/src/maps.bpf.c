// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Map operations of each kind, several a run. */
#include "bench.h"

#define MAP(name, kind, K, V, n)                                                                                      \
	struct {                                                                                                      \
		__uint(type, kind);                                                                                   \
		__type(key, K);                                                                                       \
		__type(value, V);                                                                                     \
		__uint(max_entries, n);                                                                               \
	} name SEC(".maps")

struct key8 {
	__u32 w[2];
};
struct key16 {
	__u32 w[4];
};
struct key40 {
	__u32 w[10];
};
MAP(array, BPF_MAP_TYPE_ARRAY, __u32, __u64, 256);
MAP(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, 256);
MAP(hash4, BPF_MAP_TYPE_HASH, __u32, __u64, 1024);
MAP(hash8, BPF_MAP_TYPE_HASH, struct key8, __u64, 1024);
MAP(hash16, BPF_MAP_TYPE_HASH, struct key16, __u64, 1024);
MAP(hash40, BPF_MAP_TYPE_HASH, struct key40, __u64, 1024);
MAP(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, __u32, __u64, 1024);
MAP(lru, BPF_MAP_TYPE_LRU_HASH, __u32, __u64, 1024);
MAP(scratch, BPF_MAP_TYPE_HASH, __u32, __u64, 1024);

struct prefix {
	__u32 length;
	__u32 address;
};
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct prefix);
	__type(value, __u64);
	__uint(max_entries, 256);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} trie SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 16);
} inner_a SEC(".maps"), inner_b SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &inner_a, &inner_b } };
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__type(value, __u64);
	__uint(max_entries, 64);
} queue SEC(".maps");

PROGRAM(fill)
{
	LOOP(i, 256) {
		__u32 key = i * 7;
		__u64 value = i;
		struct key8 k8 = { { key, i } };
		struct key16 k16 = { { key, i, 3, 4 } };
		struct key40 k40 = { { key, i, 3, 4, 5, 6, 7, 8, 9, 10 } };
		struct prefix prefix = { 8 + (i & 15), bpf_htonl(i << 20) };
		bpf_map_update_elem(&hash4, &key, &value, 0);
		bpf_map_update_elem(&hash8, &k8, &value, 0);
		bpf_map_update_elem(&hash16, &k16, &value, 0);
		bpf_map_update_elem(&hash40, &k40, &value, 0);
		bpf_map_update_elem(&percpu_hash, &key, &value, 0);
		bpf_map_update_elem(&lru, &key, &value, 0);
		bpf_map_update_elem(&scratch, &key, &value, 0);
		bpf_map_update_elem(&trie, &prefix, &value, 0);
	}
	return 2;
}

PROGRAM(array_lookup)
{
	PACKET(struct bytes, p);
	LOOP(i, 32) {
		__u32 key = p->b[i];
		__u64 *v = bpf_map_lookup_elem(&array, &key);
		if (v)
			*v += i;
	}
	return 2;
}

PROGRAM(percpu_array_lookup)
{
	PACKET(struct bytes, p);
	LOOP(i, 32) {
		__u32 key = p->b[i];
		__u64 *v = bpf_map_lookup_elem(&percpu_array, &key);
		if (v)
			*v += i;
	}
	return 2;
}

PROGRAM(array_update)
{
	PACKET(struct bytes, p);
	LOOP(i, 16) {
		__u32 key = p->b[i];
		__u64 value = i;
		bpf_map_update_elem(&array, &key, &value, 0);
	}
	return 2;
}

#define LOOKUPS(name, map, K, ...)                                                                                    \
	PROGRAM(name)                                                                                                 \
	{                                                                                                             \
		PACKET(struct bytes, p);                                                                              \
		__u32 sum = 0;                                                                                        \
		LOOP(i, 32) {                                                                                         \
			__u32 n = p->b[i];                                                                            \
			K key = __VA_ARGS__;                                                                          \
			__u64 *v = bpf_map_lookup_elem(&map, &key);                                                   \
			if (v)                                                                                        \
				sum += *v;                                                                            \
		}                                                                                                     \
		return sum & 0xffff;                                                                                  \
	}
LOOKUPS(hash4_lookup, hash4, __u32, n * 7)
LOOKUPS(hash8_lookup, hash8, struct key8, { { n * 7, n } })
LOOKUPS(hash16_lookup, hash16, struct key16, { { n * 7, n, 3, 4 } })
LOOKUPS(hash40_lookup, hash40, struct key40, { { n * 7, n, 3, 4, 5, 6, 7, 8, 9, 10 } })
LOOKUPS(percpu_hash_lookup, percpu_hash, __u32, n * 7)
LOOKUPS(lru_lookup, lru, __u32, n * 7)
LOOKUPS(lpm_lookup, trie, struct prefix, { 32, bpf_htonl(n << 20 | n) })

PROGRAM(hash_update)
{
	PACKET(struct bytes, p);
	LOOP(i, 16) {
		__u32 key = p->b[i] * 7;
		__u64 value = i;
		bpf_map_update_elem(&hash4, &key, &value, 0);
	}
	return 2;
}

PROGRAM(percpu_hash_update)
{
	PACKET(struct bytes, p);
	LOOP(i, 16) {
		__u32 key = p->b[i] * 7;
		__u64 value = i;
		bpf_map_update_elem(&percpu_hash, &key, &value, 0);
	}
	return 2;
}

PROGRAM(lru_update)
{
	PACKET(struct bytes, p);
	LOOP(i, 16) {
		__u32 key = p->b[i] * 7;
		__u64 value = i;
		bpf_map_update_elem(&lru, &key, &value, 0);
	}
	return 2;
}

PROGRAM(hash_insert_delete)
{
	PACKET(struct bytes, p);
	LOOP(i, 8) {
		__u32 key = 100000 + p->b[i] * 8 + i;
		__u64 value = i;
		bpf_map_update_elem(&scratch, &key, &value, 0);
		bpf_map_delete_elem(&scratch, &key);
	}
	return 2;
}

PROGRAM(map_in_map)
{
	PACKET(struct bytes, p);
	LOOP(i, 16) {
		__u32 which = p->b[i] & 1, key = i;
		void *inner = bpf_map_lookup_elem(&outer, &which);
		if (!inner)
			return 1;
		__u64 *v = bpf_map_lookup_elem(inner, &key);
		if (v)
			*v += 1;
	}
	return 2;
}

PROGRAM(queue_push_pop)
{
	LOOP(i, 8) {
		__u64 value = i;
		bpf_map_push_elem(&queue, &value, 0);
		bpf_map_pop_elem(&queue, &value);
	}
	return 2;
}
