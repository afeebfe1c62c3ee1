// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
#include "check.h"

/* Newer than the headers. */
struct bpf_wq {
	__u64 opaque[2];
} __attribute__((aligned(8)));

extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __weak __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __weak __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int(callback)(void *map, int *key, void *value),
				    unsigned int flags, void *aux) __weak __ksym;

struct element {
	__u64 before;
	struct bpf_timer timer;
	__u64 after;
};

struct work {
	__u32 before;
	struct bpf_wq work;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct element);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct element);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct work);
} works SEC(".maps");

/* What callbacks have seen: sum of keys, calls, and errors. */
__u64 seen[4];

static int on_timer(void *map, __u32 *key, struct element *value)
{
	seen[0] += *key;
	seen[1]++;
	value->after++;
	if (bpf_timer_cancel(&value->timer) != -EDEADLK)
		seen[3]++;
	return 0;
}

static int again(void *map, __u32 *key, struct element *value)
{
	seen[2]++;
	if (seen[2] < 3)
		bpf_timer_start(&value->timer, 0, 0);
	return 0;
}

static int on_work(void *map, int *key, void *value)
{
	seen[0] += 1000 + *key;
	return 0;
}

SEC("tc")
int errors(struct __sk_buff *skb)
{
	__u32 key = 1;
	struct element zero = {}, *value;

	CHECK(bpf_map_update_elem(&hash, &key, &zero, 0) == 0);
	value = bpf_map_lookup_elem(&hash, &key);
	if (!value)
		return __LINE__;
	CHECK(bpf_timer_start(&value->timer, 0, 0) == -EINVAL);
	CHECK(bpf_timer_cancel(&value->timer) == -EINVAL);
	CHECK(bpf_timer_set_callback(&value->timer, on_timer) == -EINVAL);
	CHECK(bpf_timer_init(&value->timer, &hash, 5) == -EINVAL);
	CHECK(bpf_timer_init(&value->timer, &hash, 1) == 0);
	CHECK(bpf_timer_init(&value->timer, &hash, 1) == -EBUSY);
	CHECK(bpf_timer_start(&value->timer, 0, 0) == -EINVAL);
	CHECK(bpf_timer_set_callback(&value->timer, on_timer) == 0);
	CHECK(bpf_timer_start(&value->timer, 0, 8) == -EINVAL);
	CHECK(bpf_timer_cancel(&value->timer) == 0);
	CHECK(bpf_timer_set_callback(&value->timer, on_timer) == 0);
	CHECK(bpf_timer_start(&value->timer, 1000000000000, 0) == 0);
	CHECK(bpf_timer_cancel(&value->timer) == 1);
	CHECK(bpf_timer_cancel(&value->timer) == 0);
	/* Updates end timers. */
	CHECK(bpf_map_update_elem(&hash, &key, &zero, 0) == 0);
	value = bpf_map_lookup_elem(&hash, &key);
	if (!value)
		return __LINE__;
	CHECK(bpf_timer_cancel(&value->timer) == -EINVAL);
	key = 3;
	value = bpf_map_lookup_elem(&array, &key);
	if (!value)
		return __LINE__;
	CHECK(bpf_timer_init(&value->timer, &array, 1) == 0);
	CHECK(bpf_map_update_elem(&array, &key, &zero, 0) == 0);
	CHECK(bpf_timer_cancel(&value->timer) == -EINVAL);
	return 0;
}

SEC("tc")
int fire(struct __sk_buff *skb)
{
	__u32 key = 7;
	struct element zero = {}, *value;

	CHECK(bpf_map_update_elem(&hash, &key, &zero, 0) == 0);
	value = bpf_map_lookup_elem(&hash, &key);
	if (!value)
		return __LINE__;
	CHECK(bpf_timer_init(&value->timer, &hash, 1) == 0);
	CHECK(bpf_timer_set_callback(&value->timer, on_timer) == 0);
	CHECK(bpf_timer_start(&value->timer, 0, 0) == 0);
	key = 2;
	value = bpf_map_lookup_elem(&array, &key);
	if (!value)
		return __LINE__;
	CHECK(bpf_timer_init(&value->timer, &array, 1) == 0);
	CHECK(bpf_timer_set_callback(&value->timer, on_timer) == 0);
	CHECK(bpf_timer_start(&value->timer, 0, 0) == 0);
	key = 1;
	value = bpf_map_lookup_elem(&array, &key);
	if (!value)
		return __LINE__;
	CHECK(bpf_timer_init(&value->timer, &array, 1) == 0);
	CHECK(bpf_timer_set_callback(&value->timer, again) == 0);
	CHECK(bpf_timer_start(&value->timer, 0, 0) == 0);
	return 0;
}

SEC("tc")
int fire_deleted(struct __sk_buff *skb)
{
	__u32 key = 9;
	struct element zero = {}, *value;

	CHECK(bpf_map_update_elem(&hash, &key, &zero, 0) == 0);
	value = bpf_map_lookup_elem(&hash, &key);
	if (!value)
		return __LINE__;
	CHECK(bpf_timer_init(&value->timer, &hash, 1) == 0);
	CHECK(bpf_timer_set_callback(&value->timer, on_timer) == 0);
	CHECK(bpf_timer_start(&value->timer, 50000000, 0) == 0);
	CHECK(bpf_map_delete_elem(&hash, &key) == 0);
	return 0;
}

SEC("syscall")
int work(void *ctx)
{
	__u32 key = 3;
	struct work *value = bpf_map_lookup_elem(&works, &key);

	if (!value)
		return __LINE__;
	CHECK(bpf_wq_init(&value->work, &works, 1) == -EINVAL);
	CHECK(bpf_wq_init(&value->work, &works, 0) == 0);
	CHECK(bpf_wq_init(&value->work, &works, 0) == -EBUSY);
	CHECK(bpf_wq_set_callback_impl(&value->work, on_work, 0, 0) == 0);
	CHECK(bpf_wq_start(&value->work, 1) == -EINVAL);
	CHECK(bpf_wq_start(&value->work, 0) == 0);
	return 0;
}
