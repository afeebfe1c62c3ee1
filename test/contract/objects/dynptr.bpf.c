// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
#include "check.h"

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *ptr, __u32 start, __u32 end) __ksym;
extern bool bpf_dynptr_is_null(const struct bpf_dynptr *ptr) __ksym;
extern bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *ptr) __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *ptr, struct bpf_dynptr *clone) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, char[64]);
} memory SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

SEC("tc")
int local_memory(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr, copy;
	__u32 zero = 0;
	char buffer[8] = {};
	char *value = bpf_map_lookup_elem(&memory, &zero), *data;

	if (!value)
		return __LINE__;
	CHECK(bpf_dynptr_from_mem(value, 64, 1, &ptr) == -EINVAL);
	CHECK(bpf_dynptr_is_null(&ptr));
	CHECK((int)bpf_dynptr_size(&ptr) == -EINVAL);
	CHECK(bpf_dynptr_from_mem(value, 64, 0, &ptr) == 0);
	CHECK(bpf_dynptr_size(&ptr) == 64);
	CHECK(!bpf_dynptr_is_null(&ptr) && !bpf_dynptr_is_rdonly(&ptr));
	CHECK(bpf_dynptr_write(&ptr, 10, "abcdefg", 8, 0) == 0);
	CHECK(bpf_dynptr_write(&ptr, 57, "abcdefg", 8, 0) == -E2BIG);
	CHECK(bpf_dynptr_write(&ptr, 0, "abcdefg", 8, 1) == -EINVAL);
	CHECK(value[10] == 'a' && value[16] == 'g');
	CHECK(bpf_dynptr_read(buffer, 4, &ptr, 12, 0) == 0 && buffer[0] == 'c' && buffer[3] == 'f');
	CHECK(bpf_dynptr_read(buffer, 8, &ptr, 57, 0) == -E2BIG);
	CHECK(bpf_dynptr_read(buffer, 8, &ptr, 0, 1) == -EINVAL);
	CHECK(!bpf_dynptr_data(&ptr, 60, 5));
	data = bpf_dynptr_data(&ptr, 11, 2);
	CHECK(data && data[0] == 'b');

	CHECK(bpf_dynptr_clone(&ptr, &copy) == 0);
	CHECK(bpf_dynptr_adjust(&copy, 10, 18) == 0);
	CHECK(bpf_dynptr_size(&copy) == 8 && bpf_dynptr_size(&ptr) == 64);
	CHECK(bpf_dynptr_adjust(&copy, 3, 2) == -EINVAL);
	CHECK(bpf_dynptr_adjust(&copy, 0, 9) == -ERANGE);
	CHECK(bpf_dynptr_read(buffer, 2, &copy, 6, 0) == 0 && buffer[0] == 'g');
	data = bpf_dynptr_slice(&copy, 1, 0, 4);
	CHECK(data && data[0] == 'b');
	return 0;
}

SEC("tc")
int ring_buffer(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	int error = bpf_ringbuf_reserve_dynptr(&ring, 16, 0, &ptr);

	if (!error)
		error = bpf_dynptr_write(&ptr, 8, "tail...", 8, 0);
	if (!error)
		error = bpf_dynptr_write(&ptr, 0, "head...", 8, 0);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	if (error)
		return __LINE__;
	error = bpf_ringbuf_reserve_dynptr(&ring, 5000, 0, &ptr);
	bpf_ringbuf_discard_dynptr(&ptr, 0);
	CHECK(error == -EINVAL);
	error = bpf_ringbuf_reserve_dynptr(&ring, 1 << 24, 0, &ptr);
	bpf_ringbuf_submit_dynptr(&ptr, 0);
	CHECK(error == -E2BIG);
	return 0;
}

SEC("tc")
int of_skb(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	char buffer[8] = {};
	char *data;

	CHECK(bpf_dynptr_from_skb(skb, 1, &ptr) == -EINVAL);
	CHECK(bpf_dynptr_from_skb(skb, 0, &ptr) == 0);
	CHECK(bpf_dynptr_size(&ptr) == skb->len);
	CHECK(bpf_dynptr_write(&ptr, 20, "packet", 6, 0) == 0);
	CHECK(bpf_dynptr_write(&ptr, 20, "packet", 6, 64) == -EINVAL);
	CHECK(bpf_dynptr_read(buffer, 6, &ptr, 20, 0) == 0 && buffer[5] == 't');
	data = bpf_dynptr_slice(&ptr, 20, buffer, 8);
	CHECK(data && data[0] == 'p');
	data = bpf_dynptr_slice_rdwr(&ptr, 20, buffer, 8);
	CHECK(data);
	data[0] = 'P';
	CHECK(bpf_dynptr_read(buffer, 6, &ptr, 20, 0) == 0 && buffer[0] == 'P');
	return 0;
}

SEC("cgroup_skb/egress")
int of_read_only_skb(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;

	if (bpf_dynptr_from_skb(skb, 0, &ptr))
		return 2;
	return bpf_dynptr_is_rdonly(&ptr) && bpf_dynptr_write(&ptr, 0, "x", 1, 0) == -EINVAL ? 0 : 3;
}

SEC("xdp")
int of_xdp(struct xdp_md *xdp)
{
	struct bpf_dynptr ptr;
	char buffer[8] = {};
	char *data;

	CHECK(bpf_dynptr_from_xdp(xdp, 0, &ptr) == 0);
	CHECK(bpf_dynptr_size(&ptr) == xdp->data_end - xdp->data);
	CHECK(bpf_dynptr_write(&ptr, 20, "packet", 6, 1) == -EINVAL);
	CHECK(bpf_dynptr_write(&ptr, 20, "packet", 6, 0) == 0);
	CHECK(bpf_dynptr_write(&ptr, xdp->data_end - xdp->data, "packet", 6, 0) == -E2BIG);
	CHECK(bpf_dynptr_read(buffer, 6, &ptr, 20, 0) == 0 && buffer[5] == 't');
	data = bpf_dynptr_slice_rdwr(&ptr, 20, buffer, 8);
	CHECK(data && data[1] == 'a');
	return 0;
}
