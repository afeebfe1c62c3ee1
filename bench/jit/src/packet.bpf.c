// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Packet parsing, checksums, hashes of packets. */
#include "bench.h"
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/in.h>

struct vlan {
	__be16 tci;
	__be16 proto;
};

struct flow {
	__be32 saddr, daddr;
	__be16 sport, dport;
	__u8 proto, flags;
	__u16 length;
};

static __always_inline int parse(struct xdp_md *ctx, struct flow *flow)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > end)
		return -1;
	__be16 proto = eth->h_proto;
	void *next = eth + 1;
	UNROLLED(i, 2) {
		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		struct vlan *v = next;
		if ((void *)(v + 1) > end)
			return -1;
		proto = v->proto;
		next = v + 1;
	}
	if (proto != bpf_htons(ETH_P_IP))
		return -1;
	struct iphdr *ip = next;
	if ((void *)(ip + 1) > end || ip->ihl < 5)
		return -1;
	flow->saddr = ip->saddr;
	flow->daddr = ip->daddr;
	flow->proto = ip->protocol;
	flow->length = bpf_ntohs(ip->tot_len);
	next = (void *)ip + ip->ihl * 4;
	if (ip->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = next;
		if ((void *)(tcp + 1) > end)
			return -1;
		flow->sport = tcp->source;
		flow->dport = tcp->dest;
		flow->flags = tcp->syn | tcp->ack << 1 | tcp->fin << 2;
	} else if (ip->protocol == IPPROTO_UDP) {
		struct udphdr *udp = next;
		if ((void *)(udp + 1) > end)
			return -1;
		flow->sport = udp->source;
		flow->dport = udp->dest;
		flow->flags = 0;
	} else
		return -1;
	return 0;
}

PROGRAM(parse_flow)
{
	__u32 sum = 0;
	LOOP(i, 12) {
		struct flow flow = {};
		if (parse(ctx, &flow) < 0)
			return 1;
		sum += flow.saddr ^ flow.daddr ^ flow.sport ^ flow.dport ^ flow.length ^ flow.flags;
	}
	return sum & 0xffff;
}

PROGRAM(parse_options)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 sum = 0, at = 14;
	LOOP(i, 24) {
		__u8 *p = data + at;
		if (p + 4 > (__u8 *)end)
			break;
		sum = sum * 17 + p[0] + (p[1] << 8);
		at += (p[2] & 3) + 1;
		at &= 0xff;
	}
	return sum & 0xffff;
}

PROGRAM(ip_checksum)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + 14;
	if ((void *)(ip + 1) > end)
		return 1;
	__u32 sum = 0;
	LOOP(k, 10) {
		__u16 *w = (__u16 *)ip;
		UNROLLED(i, 10)
			sum += w[i];
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return ~sum & 0xffff;
}

PROGRAM(packet_checksum)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u16 *p = data;
	__u32 sum = 0;
	LOOP(i, 256) {
		if ((void *)(p + 1) > end)
			break;
		sum += *p++;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
}

PROGRAM(csum_diff)
{
	PACKET(struct words, p);
	__u32 sum = 0, from[2] = { p->w[0], p->w[1] }, to[2] = { p->w[2], p->w[3] };
	LOOP(i, 8) {
		sum = bpf_csum_diff(from, 8, to, 8, sum);
		to[1] ^= i;
	}
	return sum & 0xffff;
}

PROGRAM(jenkins_hash)
{
	PACKET(struct words, p);
	__u32 a = 0xdeadbeef, b = a, c = a;
	LOOP(k, 5) {
		a += p->w[k * 3], b += p->w[k * 3 + 1], c += p->w[k * 3 + 2];
		a -= c, a ^= c << 4 | c >> 28, c += b;
		b -= a, b ^= a << 6 | a >> 26, a += c;
		c -= b, c ^= b << 8 | b >> 24, b += a;
		a -= c, a ^= c << 16 | c >> 16, c += b;
		b -= a, b ^= a << 19 | a >> 13, a += c;
		c -= b, c ^= b << 4 | b >> 28, b += a;
	}
	return c & 0xffff;
}

PROGRAM(fnv_hash)
{
	PACKET(struct bytes, p);
	__u32 h = 2166136261u;
	LOOP(i, 64)
		h = (h ^ p->b[i]) * 16777619;
	return h & 0xffff;
}

PROGRAM(sip_rounds)
{
	PACKET(struct longs, p);
	__u64 a = p->d[0], b = p->d[1], c = p->d[2], d = p->d[3];
	LOOP(i, 24) {
		a += b, b = b << 13 | b >> 51, b ^= a, a = a << 32 | a >> 32;
		c += d, d = d << 16 | d >> 48, d ^= c;
		a += d, d = d << 21 | d >> 43, d ^= a;
		c += b, b = b << 17 | b >> 47, b ^= c, c = c << 32 | c >> 32;
	}
	return (a ^ b ^ c ^ d) & 0xffff;
}

PROGRAM(swap_addresses)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > end)
		return 1;
	LOOP(i, 8) {
		__u8 mac[6];
		__builtin_memcpy(mac, eth->h_source, 6);
		__builtin_memcpy(eth->h_source, eth->h_dest, 6);
		__builtin_memcpy(eth->h_dest, mac, 6);
		__be32 addr = ip->saddr;
		ip->saddr = ip->daddr;
		ip->daddr = addr;
		ip->ttl--;
	}
	return 3;
}
