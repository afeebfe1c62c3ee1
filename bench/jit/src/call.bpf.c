// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Calls: subprograms, callbacks, helpers that read a field. */
#include "bench.h"

static __attribute__((noinline)) __u32 mix(__u32 a, __u32 b)
{
	HIDE(a);
	return (a ^ b) * 2654435761u >> 3;
}
static __attribute__((noinline)) __u32 outer(__u32 a, __u32 b)
{
	return mix(a, b) + mix(b, a);
}
static __attribute__((noinline)) __u64 five(__u64 a, __u64 b, __u64 c, __u64 d, __u64 e)
{
	HIDE(a);
	return a + b * 3 + c * 5 + d * 7 + e;
}

PROGRAM(call_leaf)
{
	PACKET(struct words, p);
	__u32 sum = p->w[0];
	LOOP(i, 64)
		sum = mix(sum, i);
	return sum & 0xffff;
}

PROGRAM(call_nested)
{
	PACKET(struct words, p);
	__u32 sum = p->w[0];
	LOOP(i, 32)
		sum = outer(sum, i);
	return sum & 0xffff;
}

PROGRAM(call_five)
{
	PACKET(struct longs, p);
	__u64 sum = p->d[0];
	LOOP(i, 48)
		sum = five(sum, i, p->d[1], p->d[2], 9);
	return sum & 0xffff;
}

struct loop_state {
	__u32 sum;
};
static long step(__u64 index, void *state)
{
	struct loop_state *s = state;
	s->sum = s->sum * 31 + index;
	return 0;
}
PROGRAM(loop_helper)
{
	PACKET(struct words, p);
	struct loop_state s = { p->w[0] };
	bpf_loop(96, step, &s, 0);
	return s.sum & 0xffff;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 64);
} values SEC(".maps");

static long visit(void *map, __u32 *key, __u64 *value, struct loop_state *s)
{
	*value += *key;
	s->sum += *value;
	return 0;
}
PROGRAM(for_each_array)
{
	struct loop_state s = { 0 };
	bpf_for_each_map_elem(&values, visit, &s, 0);
	return 2;
}

PROGRAM(smp_id)
{
	__u32 sum = 0;
	LOOP(i, 32)
		sum += bpf_get_smp_processor_id() ? 1 : 1;
	return sum;
}

PROGRAM(ktime)
{
	__u64 last = bpf_ktime_get_ns();
	LOOP(i, 7)
		if (bpf_ktime_get_ns() < last)
			return 1;
	return 2;
}
