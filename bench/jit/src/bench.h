/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* What the benchmark programs share: every one is an XDP program that gets a packet of 64 bytes or more. */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define PACKET(T, p)                                                                                                  \
	T *p = (T *)(long)ctx->data;                                                                                  \
	if ((void *)(p + 1) > (void *)(long)ctx->data_end)                                                            \
	return XDP_ABORTED
#define LOOP(i, n) _Pragma("clang loop unroll(disable)") for (__u32 i = 0; i < (n); i++)
#define UNROLLED(i, n) _Pragma("clang loop unroll(full)") for (__u32 i = 0; i < (n); i++)
#define PROGRAM(name) SEC("xdp") int name(struct xdp_md *ctx)
/* Keeps the compiler from knowing a value. */
#define HIDE(x) asm volatile("" : "+r"(x))

struct words {
	__u32 w[16];
};
struct longs {
	__u64 d[8];
};
struct bytes {
	__u8 b[64];
};
