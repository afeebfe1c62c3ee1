// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
// Programs that tests run in every way there is: once, by a runner, in batches, instrumented, on several workers.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
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

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, int(struct xdp_md *));
} targets SEC(".maps");

struct timed {
	struct bpf_timer timer;
	__u64 fired;
	__u64 last;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct timed);
} timers SEC(".maps");

static __always_inline __u8 *bytes(struct xdp_md *ctx, __u32 size)
{
	void *data = (void *)(long)ctx->data;

	return data + size > (void *)(long)ctx->data_end ? 0 : data;
}

static __always_inline void count(__u32 index)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &index);

	if (value)
		__sync_fetch_and_add(value, 1);
}

// The last byte of the Ethernet header decides: drops odd packets, and counts.
SEC("xdp")
int drop_odd(struct xdp_md *ctx)
{
	__u8 *data = bytes(ctx, 14);

	if (!data)
		return XDP_ABORTED;
	count(0);
	if (data[13] & 1) {
		count(1);
		return XDP_DROP;
	}
	return XDP_PASS;
}

// Writes to the packet where it lies.
SEC("xdp")
int mark(struct xdp_md *ctx)
{
	__u8 *data = bytes(ctx, 14);

	if (!data)
		return XDP_ABORTED;
	data[0] += 1;
	data[12] = 0xab;
	return XDP_TX;
}

// Byte 0 decides what is done to the size: 1 and 2 at the head, 3 and 4 at the tail, 5 metadata.
SEC("xdp")
int resize(struct xdp_md *ctx)
{
	__u8 *data = bytes(ctx, 14);
	long error = 0;

	if (!data)
		return XDP_ABORTED;
	switch (data[0]) {
	case 1:
		error = bpf_xdp_adjust_head(ctx, -20);
		break;
	case 2:
		error = bpf_xdp_adjust_head(ctx, 4);
		break;
	case 3:
		error = bpf_xdp_adjust_tail(ctx, -6);
		break;
	case 4:
		error = bpf_xdp_adjust_tail(ctx, 100);
		break;
	case 5:
		error = bpf_xdp_adjust_meta(ctx, -8);
		break;
	case 6:
		error = bpf_xdp_adjust_head(ctx, 10000);
		break;
	default:
		return XDP_PASS;
	}
	data = bytes(ctx, 14);
	if (!data)
		return XDP_ABORTED;
	data[1] = error ? 0xee : 0x77;
	return XDP_TX;
}

// Loads through helpers, which find the packet by the context.
SEC("xdp")
int by_helper(struct xdp_md *ctx)
{
	__u8 word[4] = {};

	if (bpf_xdp_load_bytes(ctx, 10, word, sizeof(word)))
		return XDP_ABORTED;
	word[0] ^= 0xff;
	if (bpf_xdp_store_bytes(ctx, 10, word, sizeof(word)))
		return XDP_ABORTED;
	return (word[1] + bpf_xdp_get_buff_len(ctx)) & 0xff;
}

// Packets whose byte 0 is 9 are stopped in the vm, which does not verify.
SEC("xdp")
int stops(struct xdp_md *ctx)
{
	__u8 *data = bytes(ctx, 14);
	__u64 address = 0;

	if (!data)
		return XDP_ABORTED;
	count(2);
	if (data[0] == 9) {
		asm volatile("%0 = *(u8 *)(%1 + 8)" : "=r"(address) : "r"(address));
		return address;
	}
	return XDP_PASS;
}

SEC("xdp")
int end_of_chain(struct xdp_md *ctx)
{
	count(3);
	return 7;
}

// Goes on in another program when byte 0 is not 0.
SEC("xdp")
int chain(struct xdp_md *ctx)
{
	__u8 *data = bytes(ctx, 14);

	if (!data)
		return XDP_ABORTED;
	if (data[0])
		bpf_tail_call(ctx, &targets, data[0]);
	return XDP_PASS;
}

// One flow a source: byte 0 and 1.
SEC("xdp")
int flow(struct xdp_md *ctx)
{
	__u8 *data = bytes(ctx, 14);
	__u64 one = 1, *value;
	__u32 key;

	if (!data)
		return XDP_ABORTED;
	key = data[0] << 8 | data[1];
	value = bpf_map_lookup_elem(&flows, &key);
	if (value)
		__sync_fetch_and_add(value, 1);
	else
		bpf_map_update_elem(&flows, &key, &one, BPF_NOEXIST);
	return XDP_PASS;
}

// Says by CPU and in a ring what it was run on.
SEC("xdp")
int report(struct xdp_md *ctx)
{
	__u32 zero = 0, *record;
	__u8 *data = bytes(ctx, 14);
	__u64 *value = bpf_map_lookup_elem(&percpu, &zero);

	if (!data || !value)
		return XDP_ABORTED;
	*value += 1;
	record = bpf_ringbuf_reserve(&events, 8, 0);
	if (!record)
		return XDP_DROP;
	record[0] = bpf_get_smp_processor_id();
	record[1] = data[0];
	bpf_ringbuf_submit(record, 0);
	return XDP_PASS;
}

static long sum_byte(__u32 index, __u64 *sum)
{
	if (index == 5)
		return 1;
	*sum += index;
	return 0;
}

static __noinline int classify(__u32 length)
{
	if (length > 100) {
		count(3);
		return XDP_TX;
	}
	return XDP_PASS;
}

// A callback, a function, and branches of which a test takes some.
SEC("xdp")
int branches(struct xdp_md *ctx)
{
	__u8 *data = bytes(ctx, 14);
	__u64 sum = 0;

	if (!data)
		return XDP_ABORTED;
	if (data[0] == 1)
		bpf_loop(10, sum_byte, &sum, 0);
	if (data[0] == 2)
		count(2);
	if (sum > 100)
		return XDP_DROP;
	return classify(ctx->data_end - ctx->data);
}

// As many rounds as the first two bytes say.
SEC("xdp")
int spin(struct xdp_md *ctx)
{
	__u8 *data = bytes(ctx, 14);
	__u32 hash = 1, rounds;

	if (!data)
		return XDP_ABORTED;
	rounds = data[0] << 8 | data[1];
	for (__u32 i = 0; i < rounds; i++)
		hash = hash * 31 + i;
	return hash & 0xff;
}

static int on_timer(void *map, int *key, struct timed *value)
{
	value->fired++;
	value->last = bpf_ktime_get_ns();
	if (value->fired < 4)
		bpf_timer_start(&value->timer, 1000, 0);
	return 0;
}

// Arms timer 0 to fire 5000 ns from now, then every 1000 ns, four times in all.
SEC("tc")
int arm(struct __sk_buff *ctx)
{
	__u32 key = 0;
	struct timed *value = bpf_map_lookup_elem(&timers, &key);

	if (!value)
		return TC_ACT_SHOT;
	bpf_timer_init(&value->timer, &timers, 1 /* CLOCK_MONOTONIC */);
	bpf_timer_set_callback(&value->timer, on_timer);
	bpf_timer_start(&value->timer, 5000, 0);
	return TC_ACT_OK;
}

struct facts {
	__u64 time;
	__u64 boot;
	__u32 random;
	__u32 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} seen SEC(".maps");

// Everything that could differ from run to run.
SEC("xdp")
int observe(struct xdp_md *ctx)
{
	struct facts *facts = bpf_ringbuf_reserve(&seen, sizeof(*facts), 0);

	if (!facts)
		return XDP_ABORTED;
	facts->time = bpf_ktime_get_ns();
	facts->boot = bpf_ktime_get_boot_ns();
	facts->random = bpf_get_prandom_u32();
	facts->cpu = bpf_get_smp_processor_id();
	bpf_ringbuf_submit(facts, 0);
	return XDP_PASS;
}

// Swaps the first two bytes of what follows the link layer header, and prints.
SEC("tc")
int tc_swap(struct __sk_buff *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u8 first;

	if ((void *)(data + 16) > (void *)(long)ctx->data_end)
		return TC_ACT_SHOT;
	first = data[14];
	data[14] = data[15];
	data[15] = first;
	bpf_printk("%d", first);
	return ctx->protocol == 8 ? TC_ACT_OK : 42;
}

SEC("socket")
int lengths(struct __sk_buff *ctx)
{
	return ctx->len;
}

SEC("raw_tp/test")
int arguments(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[0] + ctx->args[1];
}
