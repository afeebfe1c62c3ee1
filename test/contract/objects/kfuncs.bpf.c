// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
#include "check.h"

struct bpf_iter_bits {
	__u64 opaque[2];
} __attribute__((aligned(8)));

extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const __u64 *words, __u32 count) __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64);
} storage SEC(".maps");

/* Global, so that the verifier does not follow their values. */
int sum, count;

SEC("tc")
int bits(struct __sk_buff *skb)
{
	__u64 words[2] = { 0x8000000000000005, 2 };
	struct bpf_iter_bits it;
	int *bit;

	sum = count = 0;

	bpf_iter_bits_new(&it, words, 2);
	while ((bit = bpf_iter_bits_next(&it))) {
		sum += *bit;
		count++;
	}
	bpf_iter_bits_destroy(&it);
	CHECK(count == 4);
	CHECK(sum == 0 + 2 + 63 + 65);
	return 0;
}

SEC("tc")
int bits_of_nothing(struct __sk_buff *skb)
{
	__u64 words[1] = { 1 };
	struct bpf_iter_bits it;
	int error = bpf_iter_bits_new(&it, words, 0);

	bpf_iter_bits_destroy(&it);
	CHECK(error == -EINVAL);
	error = bpf_iter_bits_new(&it, words, 600);
	bpf_iter_bits_destroy(&it);
	CHECK(error == -E2BIG);
	return 0;
}

SEC("cgroup_skb/egress")
int cgroup_storage(struct __sk_buff *skb)
{
	__u64 *value = bpf_get_local_storage(&storage, 0);

	/* Fresh in each test run. */
	return *value == 0 && ++*value == 1 ? 0 : 3;
}

SEC("tc")
int timestamps(struct __sk_buff *skb)
{
	CHECK(bpf_skb_set_tstamp(skb, 1, 1) == -EOPNOTSUPP);
	return 0;
}
