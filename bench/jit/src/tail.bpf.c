// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Tail calls. */
#include "bench.h"

int tail_end(struct xdp_md *ctx);
int tail_hop(struct xdp_md *ctx);
int tail_spin(struct xdp_md *ctx);
__u32 hops;
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, int(void *));
} programs SEC(".maps") = { .values = { (void *)&tail_end, (void *)&tail_hop, (void *)&tail_spin } };

SEC("xdp") int tail_end(struct xdp_md *ctx)
{
	return 2;
}
SEC("xdp") int tail_hop(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &programs, 0);
	return 1;
}
SEC("xdp") int tail_spin(struct xdp_md *ctx)
{
	hops++;
	bpf_tail_call(ctx, &programs, 2);
	return 3;
}
PROGRAM(tail_two)
{
	bpf_tail_call(ctx, &programs, 1);
	return 1;
}
PROGRAM(tail_limit)
{
	bpf_tail_call(ctx, &programs, 2);
	return 1;
}
PROGRAM(tail_empty)
{
	LOOP(i, 16)
		bpf_tail_call(ctx, &programs, 3);
	return 2;
}
