// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
#include "check.h"

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 100);
	__uint(map_extra, 3);
	__type(value, __u64);
} bloom SEC(".maps");

struct locked {
	struct bpf_spin_lock lock;
	__u32 value;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct locked);
} locks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct locked);
} locked_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} plain SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} plain_array SEC(".maps");

SEC("tc")
int bloom_filter(struct __sk_buff *skb)
{
	__u64 value = 1;

	for (value = 1; value <= 20; value++)
		CHECK(bpf_map_push_elem(&bloom, &value, 0) == 0);
	for (value = 1; value <= 20; value++)
		CHECK(bpf_map_peek_elem(&bloom, &value) == 0);
	CHECK(bpf_map_push_elem(&bloom, &value, BPF_EXIST) == -EINVAL);
	return 0;
}

int found;

SEC("tc")
int bloom_filter_knows_what_is_not_there(struct __sk_buff *skb)
{
	__u64 value;

	found = 0;
	for (value = 1000; value < 1100; value++)
		found += bpf_map_peek_elem(&bloom, &value) == -ENOENT;
	CHECK(found > 50);
	return 0;
}

SEC("tc")
int lock_flag(struct __sk_buff *skb)
{
	struct locked value = { .value = 5 }, *found;
	__u32 key = 0, number = 1;

	CHECK(bpf_map_update_elem(&plain, &key, &number, BPF_F_LOCK) == -EINVAL);
	CHECK(bpf_map_update_elem(&plain_array, &key, &number, BPF_F_LOCK) == -EINVAL);
	CHECK(bpf_map_update_elem(&locked_array, &key, &value, BPF_F_LOCK) == 0);
	CHECK(bpf_map_update_elem(&locks, &key, &value, 0) == 0);
	found = bpf_map_lookup_elem(&locks, &key);
	CHECK(found && found->value == 5);
	/* In place: the pointer sees it. */
	value.value = 6;
	CHECK(bpf_map_update_elem(&locks, &key, &value, BPF_F_LOCK) == 0);
	CHECK(found->value == 6);
	bpf_spin_lock(&found->lock);
	found->value++;
	bpf_spin_unlock(&found->lock);
	CHECK(found->value == 7);
	CHECK(bpf_map_update_elem(&locks, &key, &value, BPF_F_LOCK | BPF_NOEXIST) == -EEXIST);
	return 0;
}
