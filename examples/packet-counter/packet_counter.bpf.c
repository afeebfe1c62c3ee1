// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/*
 * Counts packets and bytes per protocol and per IPv4 flow, and drops UDP
 * packets to one port.
 */
#include "elfbee.h"
#include "packet.h"

/* Set before load; packets to this UDP port are dropped. */
const volatile __u16 blocked_port = 9999;

enum proto_slot {
	SLOT_OTHER,
	SLOT_ARP,
	SLOT_ICMP,
	SLOT_TCP,
	SLOT_UDP,
	SLOT_BLOCKED,
	SLOT_MALFORMED,
	SLOT_COUNT,
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

/* Addresses as bytes in network order, ports in host order. */
struct flow {
	__u8 saddr[4];
	__u8 daddr[4];
	__u16 sport;
	__u16 dport;
	__u8 proto;
	__u8 pad[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOT_COUNT);
	__type(key, __u32);
	__type(value, struct counter);
} protocols SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow);
	__type(value, struct counter);
} flows SEC(".maps");

static __always_inline void add(struct counter *c, __u64 bytes)
{
	__sync_fetch_and_add(&c->packets, 1);
	__sync_fetch_and_add(&c->bytes, bytes);
}

static __always_inline void count_protocol(enum proto_slot slot, __u64 bytes)
{
	__u32 key = slot;
	struct counter *c = bpf_map_lookup_elem(&protocols, &key);

	if (c)
		add(c, bytes);
}

static __always_inline void count_flow(const struct flow *flow, __u64 bytes)
{
	struct counter *c = bpf_map_lookup_elem(&flows, flow);

	if (c) {
		add(c, bytes);
	} else {
		struct counter first = { .packets = 1, .bytes = bytes };

		bpf_map_update_elem(&flows, flow, &first, BPF_NOEXIST);
	}
}

SEC("xdp")
int count_packets(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u64 bytes = end - data;
	struct flow flow = {};
	struct eth_header *eth = data;
	void *next = eth + 1;
	int has_flow = 0;
	__be16 type;

	if (next > end)
		goto malformed;
	type = eth->type;

	/* At most two VLAN tags. */
	for (int i = 0; i < 2; i++) {
		struct vlan_header *vlan = next;

		if (type != bpf_htons(ETHERTYPE_VLAN) && type != bpf_htons(ETHERTYPE_QINQ))
			break;
		next = vlan + 1;
		if (next > end)
			goto malformed;
		type = vlan->type;
	}

	if (type == bpf_htons(ETHERTYPE_IPV4)) {
		struct ipv4_header *ip = next;
		__u32 header;

		if ((void *)(ip + 1) > end)
			goto malformed;
		header = (ip->version_ihl & 15) * 4;
		if (header < sizeof(*ip))
			goto malformed;
		flow.proto = ip->protocol;
		__builtin_memcpy(flow.saddr, &ip->saddr, 4);
		__builtin_memcpy(flow.daddr, &ip->daddr, 4);
		next = next + header;
		has_flow = 1;
	} else if (type == bpf_htons(ETHERTYPE_IPV6)) {
		struct ipv6_header *ip6 = next;

		next = ip6 + 1;
		if (next > end)
			goto malformed;
		flow.proto = ip6->next_header;
	} else {
		count_protocol(type == bpf_htons(ETHERTYPE_ARP) ? SLOT_ARP : SLOT_OTHER, bytes);
		return XDP_PASS;
	}

	switch (flow.proto) {
	case PROTO_TCP: {
		struct tcp_header *tcp = next;

		if ((void *)(tcp + 1) > end)
			goto malformed;
		flow.sport = bpf_ntohs(tcp->source);
		flow.dport = bpf_ntohs(tcp->dest);
		count_protocol(SLOT_TCP, bytes);
		break;
	}
	case PROTO_UDP: {
		struct udp_header *udp = next;

		if ((void *)(udp + 1) > end)
			goto malformed;
		flow.sport = bpf_ntohs(udp->source);
		flow.dport = bpf_ntohs(udp->dest);
		if (flow.dport == blocked_port) {
			count_protocol(SLOT_BLOCKED, bytes);
			return XDP_DROP;
		}
		count_protocol(SLOT_UDP, bytes);
		break;
	}
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		count_protocol(SLOT_ICMP, bytes);
		break;
	default:
		count_protocol(SLOT_OTHER, bytes);
		break;
	}
	if (has_flow)
		count_flow(&flow, bytes);
	return XDP_PASS;

malformed:
	count_protocol(SLOT_MALFORMED, bytes);
	return XDP_ABORTED;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
