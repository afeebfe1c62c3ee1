// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/*
 * Programs for vm-vs-kernel: each calls one helper with arguments that are
 * taken from the context (tc: mark, priority, cb) or from the packet (xdp),
 * and records what it sees afterwards. Compiled when the oracle runs.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

/* What a program saw. */
struct seen {
	__s64 result;
	__s64 more;
	__u32 len;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 pkt_type;
	__u32 hash;
	__u32 mark;
	__u32 priority;
	__u32 queue_mapping;
	__u32 tc_index;
	__u32 ifindex;
	__u32 bytes;
	__u8 buffer[64];
};
struct seen seen;

static __always_inline int see(struct __sk_buff *skb, long result)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	seen.result = result;
	seen.len = skb->len;
	seen.protocol = skb->protocol;
	seen.vlan_present = skb->vlan_present;
	seen.vlan_tci = skb->vlan_tci;
	seen.vlan_proto = skb->vlan_proto;
	seen.pkt_type = skb->pkt_type;
	seen.mark = skb->mark;
	seen.priority = skb->priority;
	seen.queue_mapping = skb->queue_mapping;
	seen.tc_index = skb->tc_index;
	seen.ifindex = skb->ifindex;
	seen.bytes = end - data;
	if (data + 16 <= end)
		__builtin_memcpy(seen.buffer, data, 16);
	return TC_ACT_OK;
}

SEC("tc")
int change_tail(struct __sk_buff *skb)
{
	return see(skb, bpf_skb_change_tail(skb, skb->mark & 0x3fff, skb->priority % 8 == 0));
}

SEC("tc")
int change_head(struct __sk_buff *skb)
{
	return see(skb, bpf_skb_change_head(skb, skb->mark & 0x7f, skb->priority % 8 == 0));
}

SEC("tc")
int change_proto(struct __sk_buff *skb)
{
	__be16 proto = skb->mark & 1 ? bpf_htons(0x86dd) : bpf_htons(0x0800);

	return see(skb, bpf_skb_change_proto(skb, proto, skb->priority % 8 == 0));
}

SEC("tc")
int change_type(struct __sk_buff *skb)
{
	return see(skb, bpf_skb_change_type(skb, skb->mark & 7));
}

SEC("tc")
int adjust_room(struct __sk_buff *skb)
{
	__s32 by = (__s32)(skb->mark & 0x7f) - 64;
	__u64 flags = 0;

	if (skb->cb[0] & 1)
		flags = skb->cb[1] & 0x1ff;
	if (skb->cb[0] & 2)
		flags |= (__u64)(skb->cb[2] & 31) << 56;
	return see(skb, bpf_skb_adjust_room(skb, by, skb->priority % 3, flags));
}

SEC("tc")
int adjust_twice(struct __sk_buff *skb)
{
	long first = bpf_skb_adjust_room(skb, skb->mark & 63, skb->priority & 1, skb->cb[1] & 0x7f);

	seen.more = first;
	return see(skb, bpf_skb_adjust_room(skb, -(__s32)(skb->cb[2] & 63), skb->priority & 1, skb->cb[3] & 0x180));
}

SEC("tc")
int vlan(struct __sk_buff *skb)
{
	__u32 steps = skb->mark;

	seen.more = 0;
	for (int i = 0; i < 6; i++, steps >>= 4) {
		long result;

		if (steps & 1)
			result = bpf_skb_vlan_push(skb, steps & 2 ? bpf_htons(0x88a8) : bpf_htons(0x8100), steps & 0xfff);
		else
			result = bpf_skb_vlan_pop(skb);
		seen.more = seen.more * 31 + result;
	}
	return see(skb, 0);
}

SEC("tc")
int pull(struct __sk_buff *skb)
{
	return see(skb, bpf_skb_pull_data(skb, skb->mark & 0x1ff));
}

SEC("tc")
int load_store(struct __sk_buff *skb)
{
	__u32 len = (skb->cb[0] & 31) + 1;
	__u8 *buffer = seen.buffer + 16;

	seen.more = bpf_skb_load_bytes(skb, skb->mark & 0x3f, buffer, len);
	seen.more = seen.more * 31 + bpf_skb_load_bytes_relative(skb, skb->cb[1] & 0x3f, buffer, len, skb->cb[2] & 3);
	return see(skb, bpf_skb_store_bytes(skb, skb->cb[3] & 0x3f, buffer, len, skb->cb[4] & 3));
}

SEC("tc")
int checksums(struct __sk_buff *skb)
{
	long a = bpf_l3_csum_replace(skb, skb->mark & 0x3e, skb->cb[0], skb->cb[1], skb->cb[4] % 5);
	long b = bpf_l4_csum_replace(skb, skb->priority & 0x3f, skb->cb[2], skb->cb[3], (skb->cb[4] >> 8) & 0x74);
	long c = bpf_l4_csum_replace(skb, 40, 0, skb->cb[2], (skb->cb[4] >> 8) & 0x70);

	seen.more = a * 31 + b;
	return see(skb, c);
}

SEC("tc")
int diff(struct __sk_buff *skb)
{
	__u32 words[16];
	__u32 from = skb->mark & 31, to = skb->priority & 31;

	__u32 a = skb->cb[0], b = skb->cb[1];

	for (int i = 0; i < 16; i++)
		words[i] = a * (i + 1) ^ b;
	if (skb->mark & 0x10000)
		from &= ~3;
	if (skb->mark & 0x20000)
		to &= ~3;
	if (skb->mark & 0x40000)
		words[0] = words[8] = 0;
	return see(skb, bpf_csum_diff(words, from, words + 8, to, skb->mark & 0x80000 ? skb->cb[0] : 0));
}

SEC("tc")
int redirects(struct __sk_buff *skb)
{
	seen.more = bpf_clone_redirect(skb, 99999, skb->mark & 1);
	see(skb, seen.more);
	if (skb->mark & 2)
		return bpf_redirect_peer(1, skb->mark & 4);
	return bpf_redirect(1, skb->priority % 4);
}

SEC("tc")
int hashes(struct __sk_buff *skb)
{
	bpf_set_hash(skb, skb->mark);
	seen.hash = skb->hash;
	if (skb->priority & 1)
		bpf_set_hash_invalid(skb);
	return see(skb, seen.hash);
}

SEC("tc")
int fields(struct __sk_buff *skb)
{
	skb->queue_mapping = skb->cb[0];
	skb->tc_index = skb->cb[1];
	skb->tc_classid = skb->cb[2];
	skb->priority = skb->cb[3];
	skb->tstamp = (__u64)skb->cb[4] << 3;
	skb->mark = skb->tc_classid;
	seen.more = skb->tstamp + skb->wire_len + skb->gso_segs + skb->gso_size + skb->napi_id;
	return see(skb, skb->tc_classid);
}

SEC("tc")
int tunnel(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};

	seen.more = bpf_skb_get_tunnel_key(skb, &key, sizeof(key), skb->mark & 1);
	return see(skb, key.tunnel_id);
}

SEC("socket")
int socket_fields(struct __sk_buff *skb)
{
	seen.result = skb->len;
	seen.protocol = skb->protocol;
	seen.pkt_type = skb->pkt_type;
	seen.mark = skb->mark;
	seen.priority = skb->priority;
	seen.more = bpf_skb_load_bytes(skb, skb->cb[0] & 0x7f, seen.buffer, 32);
	seen.more = seen.more * 31 + bpf_skb_load_bytes_relative(skb, skb->cb[1] & 0x7f, seen.buffer + 32, 32, skb->cb[2] & 1);
	skb->cb[3] = skb->len;
	return skb->mark;
}

SEC("cgroup_skb/egress")
int cgroup_fields(struct __sk_buff *skb)
{
	seen.result = skb->len;
	seen.protocol = skb->protocol;
	seen.bytes = skb->data_end - skb->data;
	return skb->mark & 1;
}

/* XDP: arguments are the first bytes of the packet. */
struct args {
	__u8 op;
	__s8 head;
	__s16 tail;
	__s8 meta;
	__u8 offset;
	__u8 len;
	__u8 more;
};

static __always_inline int take(struct xdp_md *ctx, struct args *args)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if (data + sizeof(*args) > end)
		return -1;
	__builtin_memcpy(args, data, sizeof(*args));
	return 0;
}

static __always_inline void see_xdp(struct xdp_md *ctx, long result)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	void *meta = (void *)(long)ctx->data_meta;

	seen.result = result;
	seen.bytes = end - data;
	seen.len = data - meta;
	seen.ifindex = ctx->ingress_ifindex;
	seen.queue_mapping = ctx->rx_queue_index;
	if (data + 16 <= end)
		__builtin_memcpy(seen.buffer, data, 16);
}

SEC("xdp")
int adjust(struct xdp_md *ctx)
{
	struct args args;

	if (take(ctx, &args))
		return XDP_ABORTED;
	seen.more = 0;
	if (args.op & 1)
		seen.more = bpf_xdp_adjust_head(ctx, args.head);
	if (args.op & 2)
		seen.more = seen.more * 31 + bpf_xdp_adjust_meta(ctx, args.meta);
	if (args.op & 4)
		seen.more = seen.more * 31 + bpf_xdp_adjust_tail(ctx, args.tail >> 3);
	if (args.op & 8)
		seen.more = seen.more * 31 + bpf_xdp_adjust_head(ctx, args.head * 2);
	see_xdp(ctx, bpf_xdp_get_buff_len(ctx));
	return XDP_TX;
}

SEC("xdp")
int adjust_tail_little(struct xdp_md *ctx)
{
	struct args args;

	if (take(ctx, &args))
		return XDP_ABORTED;
	see_xdp(ctx, bpf_xdp_adjust_tail(ctx, args.meta));
	return XDP_PASS;
}

SEC("xdp.frags")
int load_store_xdp(struct xdp_md *ctx)
{
	struct args args;
	__u8 *buffer = seen.buffer + 16;
	__u32 len;

	if (take(ctx, &args))
		return XDP_ABORTED;
	len = (args.len & 31) + 1;
	seen.more = bpf_xdp_load_bytes(ctx, args.offset + (args.more & 1 ? args.tail : 0), buffer, len);
	see_xdp(ctx, bpf_xdp_store_bytes(ctx, args.offset + (args.more & 2 ? 3000 : 8), buffer, len));
	return XDP_PASS;
}

SEC("xdp.frags")
int grow_frags(struct xdp_md *ctx)
{
	struct args args;

	if (take(ctx, &args))
		return XDP_ABORTED;
	seen.more = bpf_xdp_adjust_tail(ctx, args.tail >> 2);
	see_xdp(ctx, bpf_xdp_get_buff_len(ctx));
	return XDP_PASS;
}

SEC("xdp")
int redirect_xdp(struct xdp_md *ctx)
{
	struct args args;

	if (take(ctx, &args))
		return XDP_ABORTED;
	return bpf_redirect(args.head, args.more & 1);
}

SEC("tc")
int mtu(struct __sk_buff *skb)
{
	__u32 len = skb->cb[0] & 1 ? skb->cb[1] & 0x1ffff : 0;
	long result = bpf_check_mtu(skb, skb->mark % 3 ? skb->mark & 1 : 77777, &len,
				    skb->cb[2] & 1 ? (__s32)(skb->cb[3] & 0x3ffff) - 1000 : 0, skb->cb[4] & 1);

	seen.more = len;
	return see(skb, result);
}

SEC("xdp")
int mtu_xdp(struct xdp_md *ctx)
{
	struct args args;
	__u32 len = 0;

	if (take(ctx, &args))
		return XDP_ABORTED;
	if (args.op & 1)
		len = args.more * 300;
	seen.result = bpf_check_mtu(ctx, args.op & 2 ? 1 : 0, &len, args.tail * 4, args.op >> 7);
	seen.more = len;
	return XDP_PASS;
}

/* Text. */
SEC("xdp")
int text(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	static const char alphabet[16] = "0123x9f- +a8b7\n";
	char string[16] = {};
	long number = 0;
	unsigned long unsigned_number = 0;
	__u8 base;

	if (data + 20 > end)
		return XDP_ABORTED;
	for (int i = 0; i < 15; i++)
		string[i] = alphabet[((__u8 *)data)[i] & 15];
	base = ((__u8 *)data)[15];
	base = base & 1 ? 0 : base & 2 ? 10 : base & 4 ? 16 : base & 8 ? 8 : base & 31;
	seen.result = bpf_strtol(string, sizeof(string) - 1, base, &number);
	seen.more = number;
	seen.result = seen.result * 100 + bpf_strtoul(string, sizeof(string) - 1, base, &unsigned_number);
	seen.more += unsigned_number;
	seen.len = bpf_strncmp(string, 3, "012");
	return XDP_PASS;
}

SEC("xdp")
int numbers(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	char out[64] = {};
	__u64 a, b;

	if (data + 16 > end)
		return XDP_ABORTED;
	a = *(__u64 *)data;
	b = *(__u64 *)(data + 8);
	switch (a & 7) {
	case 0:
		seen.result = BPF_SNPRINTF(out, sizeof(out), "%d %u %x", a, b, a);
		break;
	case 1:
		seen.result = BPF_SNPRINTF(out, sizeof(out), "%lld|%llu", a, b);
		break;
	case 2:
		seen.result = BPF_SNPRINTF(out, sizeof(out), "%08x %-8d|%8d", a, (int)(b & 0xff), (int)-(b & 0xff));
		break;
	case 3:
		seen.result = BPF_SNPRINTF(out, sizeof(out), "%lX %li %%", a, b);
		break;
	case 4:
		seen.result = BPF_SNPRINTF(out, sizeof(out), "%+d % d %c", (int)(a >> 8), (int)b, 65 + (int)(b & 15));
		break;
	case 5: {
		__u32 address = b;

		seen.result = BPF_SNPRINTF(out, sizeof(out), "%pI4 %pi4", &address, &address);
		break;
	}
	default: {
		__u64 pair[2] = { a, b };

		seen.result = BPF_SNPRINTF(out, sizeof(out), "%pI6 %pi6", pair, pair);
	}
	}
	__builtin_memcpy(seen.buffer, out, sizeof(out));
	return XDP_PASS;
}

/* Queue and stack. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 5);
	__uint(key_size, 0);
	__type(value, __u32);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 5);
	__uint(key_size, 0);
	__type(value, __u32);
} stack SEC(".maps");

SEC("xdp")
int queues(struct xdp_md *ctx)
{
	struct args args;
	__u32 value = 0;
	void *map;

	if (take(ctx, &args))
		return XDP_ABORTED;
	value = args.offset;
	if (args.more & 1) {
		switch (args.len % 4) {
		case 0:
		case 1:
			seen.result = bpf_map_push_elem(&queue, &value, args.head & 3);
			break;
		case 2:
			seen.result = bpf_map_pop_elem(&queue, &value);
			break;
		default:
			seen.result = bpf_map_peek_elem(&queue, &value);
		}
	} else {
		switch (args.len % 4) {
		case 0:
		case 1:
			seen.result = bpf_map_push_elem(&stack, &value, args.head & 3);
			break;
		case 2:
			seen.result = bpf_map_pop_elem(&stack, &value);
			break;
		default:
			seen.result = bpf_map_peek_elem(&stack, &value);
		}
	}
	seen.more = value;
	return XDP_PASS;
}

/* A value that is looked up, updated and deleted while its address is held. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} held SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u64);
} held_dynamic SEC(".maps");

static __always_inline void hold(void *map, __u32 key)
{
	__u64 one = 1, two = 2, *value;

	bpf_map_update_elem(map, &key, &one, BPF_ANY);
	value = bpf_map_lookup_elem(map, &key);
	if (!value)
		return;
	bpf_map_update_elem(map, &key, &two, BPF_ANY);
	seen.result = *value;
	*value = 77;
	bpf_map_delete_elem(map, &key);
	seen.result = seen.result * 100 + *value;
	bpf_map_update_elem(map, &key, &two, BPF_ANY);
	*value = 99;
}

SEC("xdp")
int hold_values(struct xdp_md *ctx)
{
	struct args args;

	if (take(ctx, &args))
		return XDP_ABORTED;
	if (args.op & 1)
		hold(&held, args.offset & 3);
	else
		hold(&held_dynamic, args.offset & 3);
	return XDP_PASS;
}

/* LPM with full update, delete and lookup of 8-byte keys. */
struct wide {
	__u32 length;
	__u8 bytes[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 40);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct wide);
	__type(value, __u32);
} prefixes SEC(".maps");

SEC("xdp")
int lpm(struct xdp_md *ctx)
{
	struct args args;
	struct wide key = {};
	__u32 value, *found;

	if (take(ctx, &args))
		return XDP_ABORTED;
	value = args.more;
	key.length = args.len % 68;
	key.bytes[0] = args.offset & 0xc1;
	key.bytes[1] = args.head & 0x81;
	key.bytes[7] = args.meta;
	switch (args.op % 4) {
	case 0:
	case 1:
		seen.result = bpf_map_update_elem(&prefixes, &key, &value, args.tail & 3);
		break;
	case 2:
		seen.result = bpf_map_delete_elem(&prefixes, &key);
		break;
	default:
		found = bpf_map_lookup_elem(&prefixes, &key);
		seen.result = found ? *found : -1;
	}
	return XDP_PASS;
}

/* Memory reads that fault, and strings. */
SEC("raw_tp/sched_switch")
int reads(__u64 *ctx)
{
	char buffer[24] = "unchanged unchanged";
	static const char text[] = "some text";

	switch (ctx[0] & 3) {
	case 0:
		seen.result = bpf_probe_read_kernel(buffer, (ctx[1] & 15) + 1, (void *)(ctx[2] & 0xfff));
		break;
	case 1:
		seen.result = bpf_probe_read_kernel_str(buffer, (ctx[1] & 15) + 1, (void *)(ctx[2] & 0xfff));
		break;
	case 2:
		seen.result = bpf_probe_read_kernel_str(buffer, (ctx[1] & 15) + 1, text);
		break;
	default:
		seen.result = bpf_probe_read_kernel(buffer, (ctx[1] & 7) + 1, text);
	}
	__builtin_memcpy(seen.buffer, buffer, sizeof(buffer));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
