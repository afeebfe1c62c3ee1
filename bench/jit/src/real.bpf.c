// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Realistic programs: counters, a firewall, a rate limit, a load balancer, events for user space. */
#include "bench.h"
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <linux/in.h>

struct counts {
	__u64 packets, bytes;
};
struct flow {
	__be32 saddr, daddr;
	__be16 sport, dport;
	__u32 proto;
};
struct bucket {
	__u64 tokens, last;
};
struct backend {
	__be32 address;
	__u8 mac[6];
	__u16 pad;
};
struct event {
	__u64 serial;
	struct flow flow;
	__u32 length;
};
#define MAP(name, kind, K, V, n)                                                                                      \
	struct {                                                                                                      \
		__uint(type, kind);                                                                                   \
		__type(key, K);                                                                                       \
		__type(value, V);                                                                                     \
		__uint(max_entries, n);                                                                               \
	} name SEC(".maps")
MAP(by_proto, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct counts, 256);
MAP(flows, BPF_MAP_TYPE_HASH, struct flow, struct counts, 4096);
MAP(blocked, BPF_MAP_TYPE_HASH, __be32, __u32, 1024);
MAP(buckets, BPF_MAP_TYPE_HASH, __be32, struct bucket, 1024);
MAP(backends, BPF_MAP_TYPE_ARRAY, __u32, struct backend, 16);
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} events SEC(".maps");
__u64 serial;

static __always_inline struct iphdr *headers(struct xdp_md *ctx, struct flow *flow)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5)
		return 0;
	flow->saddr = ip->saddr;
	flow->daddr = ip->daddr;
	flow->proto = ip->protocol;
	flow->sport = udp->source;
	flow->dport = udp->dest;
	return ip;
}

PROGRAM(count_protocols)
{
	struct flow flow = {};
	if (!headers(ctx, &flow))
		return XDP_PASS;
	__u32 key = flow.proto & 255;
	struct counts *c = bpf_map_lookup_elem(&by_proto, &key);
	if (c) {
		c->packets++;
		c->bytes += ctx->data_end - ctx->data;
	}
	return XDP_PASS;
}

PROGRAM(count_flows)
{
	struct flow flow = {};
	if (!headers(ctx, &flow))
		return XDP_PASS;
	struct counts *c = bpf_map_lookup_elem(&flows, &flow);
	if (!c) {
		struct counts first = { 1, ctx->data_end - ctx->data };
		bpf_map_update_elem(&flows, &flow, &first, BPF_NOEXIST);
		return XDP_PASS;
	}
	__sync_fetch_and_add(&c->packets, 1);
	__sync_fetch_and_add(&c->bytes, ctx->data_end - ctx->data);
	return XDP_PASS;
}

PROGRAM(firewall)
{
	struct flow flow = {};
	if (!headers(ctx, &flow))
		return XDP_PASS;
	if (bpf_map_lookup_elem(&blocked, &flow.saddr) || bpf_map_lookup_elem(&blocked, &flow.daddr))
		return XDP_DROP;
	return flow.dport == bpf_htons(22) ? XDP_DROP : XDP_PASS;
}

PROGRAM(rate_limit)
{
	struct flow flow = {};
	if (!headers(ctx, &flow))
		return XDP_PASS;
	struct bucket *b = bpf_map_lookup_elem(&buckets, &flow.saddr);
	if (!b) {
		struct bucket first = { 1000, 0 };
		bpf_map_update_elem(&buckets, &flow.saddr, &first, BPF_NOEXIST);
		return XDP_PASS;
	}
	b->last += 100;
	b->tokens += 3;
	if (b->tokens > 1000)
		b->tokens = 1000;
	if (b->tokens < 2)
		return XDP_DROP;
	b->tokens -= 2;
	return XDP_PASS;
}

PROGRAM(balance)
{
	struct flow flow = {};
	struct iphdr *ip = headers(ctx, &flow);
	if (!ip)
		return XDP_PASS;
	__u32 h = (flow.saddr ^ flow.daddr) * 2654435761u + (flow.sport | flow.dport << 16);
	h ^= h >> 15;
	__u32 key = h & 15;
	struct backend *to = bpf_map_lookup_elem(&backends, &key);
	if (!to)
		return XDP_PASS;
	struct ethhdr *eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	__u32 sum = (__u16)~ip->check + (~ip->daddr & 0xffff) + (~ip->daddr >> 16) + (to->address & 0xffff) +
		    (to->address >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~((sum & 0xffff) + (sum >> 16));
	ip->daddr = to->address ? to->address : ip->daddr;
	__builtin_memcpy(eth->h_dest, to->mac, 6);
	return XDP_TX;
}

PROGRAM(ring_events)
{
	struct flow flow = {};
	if (!headers(ctx, &flow))
		return XDP_PASS;
	LOOP(i, 4) {
		struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
		if (!e)
			return XDP_PASS;
		e->serial = serial++;
		e->flow = flow;
		e->length = ctx->data_end - ctx->data;
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
	}
	return XDP_PASS;
}
