// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Longest prefix match in tables of routes for IPv4 and IPv6. */
#include "maps.h"

struct route4 {
	__u32 length;
	__u32 address;
};
struct route6 {
	__u32 length;
	__u32 address[4];
};

/* Routes of 12 to 27 bits; a lookup asks for an address below one. */
#define ROUTE4(n) { 12 + ((n) & 15), bpf_htonl(KEY4(n)) }
#define ADDRESS4(n) { 32, bpf_htonl(KEY4(n) ^ 5) }
#define ROUTE6(n) { 40 + 4 * ((n) & 7), { bpf_htonl(0x20010db8), bpf_htonl(KEY4(n)), KEY4(n) } }
#define ADDRESS6(n) { 128, { bpf_htonl(0x20010db8), bpf_htonl(KEY4(n)), KEY4(n), 77 } }

#define TRIE(map, K, route, address, n)                                                                               \
	MAP(map, LPM_TRIE, K, __u64, n, BPF_F_NO_PREALLOC);                                                           \
	FILL(map, K, route)                                                                                           \
	LOOKUP(map, K, address, n)                                                                                    \
	UPDATE(map, K, route, n)                                                                                      \
	DELETE(map, K, route, n)

TRIE(lpm4_1k, struct route4, ROUTE4, ADDRESS4, 1000)
TRIE(lpm4_100k, struct route4, ROUTE4, ADDRESS4, 100000)
TRIE(lpm6_1k, struct route6, ROUTE6, ADDRESS6, 1000)
