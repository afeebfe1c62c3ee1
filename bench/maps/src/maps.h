/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* What the map benchmarks share. Every measured program does OPS operations a run, on keys drawn at random. */
#pragma once
#include "bench.h"

#define OPS 16

#define MAP(name, kind, K, V, n, flags)                                                                               \
	struct {                                                                                                      \
		__uint(type, BPF_MAP_TYPE_##kind);                                                                    \
		__type(key, K);                                                                                       \
		__type(value, V);                                                                                     \
		__uint(max_entries, n);                                                                               \
		__uint(map_flags, flags);                                                                             \
	} name SEC(".maps")

/* State of the random numbers, which a run has in a variable of its own. */
static __u32 state = 12345;

static __always_inline __u32 next_below(__u32 *random, __u32 n)
{
	*random = *random * 1664525 + 1013904223;
	return ((__u64)*random * n) >> 32;
}
#define below(n) next_below(&random, n)

/* Fills OPS entries a run: run it n / OPS times. */
#define FILL(map, K, key_of)                                                                                          \
	static __u32 filled_##map;                                                                                    \
	PROGRAM(fill_##map)                                                                                           \
	{                                                                                                             \
		LOOP(i, OPS) {                                                                                        \
			__u32 n = filled_##map++;                                                                     \
			__u64 value = n;                                                                              \
			K key = key_of(n);                                                                            \
			bpf_map_update_elem(&map, &key, &value, 0);                                                   \
		}                                                                                                     \
		return 0;                                                                                             \
	}
#define LOOKUP(map, K, key_of, n)                                                                                     \
	PROGRAM(map##_lookup)                                                                                         \
	{                                                                                                             \
		__u32 sum = 0;                                                                                        \
		__u32 random = state;                                                                                 \
		LOOP(i, OPS) {                                                                                        \
			K key = key_of(below(n));                                                                     \
			__u64 *v = bpf_map_lookup_elem(&map, &key);                                                   \
			if (v)                                                                                        \
				sum += *v;                                                                            \
		}                                                                                                     \
		state = random;                                                                                       \
		return sum & 0xffff;                                                                                  \
	}
#define UPDATE(map, K, key_of, n) UPDATE_AS(map##_update, map, K, key_of, n)
#define UPDATE_AS(name, map, K, key_of, n)                                                                            \
	PROGRAM(name)                                                                                                 \
	{                                                                                                             \
		int failed = 0;                                                                                       \
		__u32 random = state;                                                                                 \
		LOOP(i, OPS) {                                                                                        \
			__u32 at = below(n);                                                                          \
			__u64 value = at;                                                                             \
			K key = key_of(at);                                                                           \
			failed |= bpf_map_update_elem(&map, &key, &value, 0);                                         \
		}                                                                                                     \
		state = random;                                                                                       \
		return failed & 0xffff;                                                                               \
	}
/* Counts as one operation: a delete and the insert that puts the key back. */
#define DELETE(map, K, key_of, n)                                                                                     \
	PROGRAM(map##_delete_insert)                                                                                  \
	{                                                                                                             \
		int failed = 0;                                                                                       \
		__u32 random = state;                                                                                 \
		LOOP(i, OPS) {                                                                                        \
			__u32 at = below(n);                                                                          \
			__u64 value = at;                                                                             \
			K key = key_of(at);                                                                           \
			bpf_map_delete_elem(&map, &key);                                                              \
			failed |= bpf_map_update_elem(&map, &key, &value, 0);                                         \
		}                                                                                                     \
		state = random;                                                                                       \
		return failed & 0xffff;                                                                               \
	}
#define LOOKUP_UPDATE(map, K, key_of, n) LOOKUP(map, K, key_of, n) UPDATE(map, K, key_of, n)
#define ALL(map, K, key_of, n) LOOKUP_UPDATE(map, K, key_of, n) DELETE(map, K, key_of, n)

struct key8 {
	__u32 w[2];
};
struct key16 {
	__u32 w[4];
};
struct key40 {
	__u32 w[10];
};
#define INDEX(n) (n)
#define KEY4(n) ((n) * 2654435761u)
#define KEY8(n) { { KEY4(n), n } }
#define KEY16(n) { { KEY4(n), n, 3, 4 } }
#define KEY40(n) { { KEY4(n), n, 3, 4, 5, 6, 7, 8, 9, 10 } }
