// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
#include "check.h"

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

__u64 sum;

static long take(struct bpf_dynptr *record, void *context)
{
	__u64 value = 0;

	bpf_dynptr_read(&value, 8, record, 0, 0);
	sum += value;
	return value == 100;
}

SEC("tc")
int drain(struct __sk_buff *skb)
{
	return bpf_user_ringbuf_drain(&ring, take, 0, 0);
}
