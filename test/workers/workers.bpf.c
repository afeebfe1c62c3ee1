// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
// Programs that several threads run at the same time, over the maps of a shared vm.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

__u32 total;

// Atomic operations of both sizes, with and without their result.
SEC("xdp")
int count(struct xdp_md *ctx)
{
	__u32 zero = 0, one = 1;
	__u64 *value = bpf_map_lookup_elem(&counters, &zero);
	__u64 *tickets = bpf_map_lookup_elem(&counters, &one);

	if (!value || !tickets)
		return XDP_ABORTED;
	__sync_fetch_and_add(value, 1);
	__sync_fetch_and_add(&total, 1);
	return __sync_fetch_and_add(tickets, 1) & 3;
}

// Compare and exchange until it works: a sum that is lost when another thread comes in between unseen.
SEC("xdp")
int sum(struct xdp_md *ctx)
{
	__u32 two = 2;
	__u64 *value = bpf_map_lookup_elem(&counters, &two);

	if (!value)
		return XDP_ABORTED;
	for (int i = 0; i < 1000; i++) {
		__u64 old = *(volatile __u64 *)value;

		if (__sync_val_compare_and_swap(value, old, old + 3) == old)
			return XDP_PASS;
	}
	return XDP_ABORTED;
}

SEC("xdp")
int here(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *value = bpf_map_lookup_elem(&percpu, &zero);

	if (!value)
		return XDP_ABORTED;
	*value += 1;
	return bpf_get_smp_processor_id();
}

// Keys are those of the packet: each thread has its own, and comes back to them.
SEC("xdp")
int flow(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u64 one = 1, *value;
	__u32 key;

	if ((void *)(data + 14) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	key = data[0] << 8 | data[1];
	value = bpf_map_lookup_elem(&flows, &key);
	if (!value)
		return bpf_map_update_elem(&flows, &key, &one, BPF_NOEXIST) ? XDP_ABORTED : XDP_PASS;
	*value += 1;
	if (*value == 50)
		return bpf_map_delete_elem(&flows, &key) ? XDP_ABORTED : XDP_DROP;
	return XDP_PASS;
}

SEC("xdp")
int report(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u32 *record;

	if ((void *)(data + 14) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	record = bpf_ringbuf_reserve(&events, 8, 0);
	if (!record)
		return XDP_ABORTED;
	record[0] = bpf_get_smp_processor_id();
	record[1] = data[0] << 8 | data[1];
	bpf_ringbuf_submit(record, 0);
	return XDP_PASS;
}

// Finds its packet and stack where no other thread has its own.
SEC("xdp")
int mine(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u8 bytes[64] = {};
	__u32 random = bpf_get_prandom_u32();

	if ((void *)(data + 64) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(bytes, data, 64);
	for (int i = 0; i < 64; i++) {
		if (bytes[i] != data[i] || bytes[i] != data[0])
			return XDP_ABORTED;
	}
	if (bpf_xdp_adjust_head(ctx, -4) || bpf_xdp_adjust_head(ctx, 4))
		return XDP_ABORTED;
	return random ? XDP_PASS : XDP_ABORTED;
}
