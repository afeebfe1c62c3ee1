// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Loads and stores: packet, stack, global data. */
#include "bench.h"

__u32 table[256];
__u64 counters[16];
struct bytes shadow;

PROGRAM(sum_words)
{
	PACKET(struct words, p);
	__u32 sum = 0;
	LOOP(k, 8)
		UNROLLED(i, 16)
			sum += p->w[i] ^ k;
	return sum & 0xffff;
}

PROGRAM(sum_bytes)
{
	PACKET(struct bytes, p);
	__u32 sum = 0;
	LOOP(i, 64)
		sum += p->b[i];
	return sum;
}

struct __attribute__((packed)) odd {
	__u8 kind;
	__u32 a;
	__u16 b;
	__u64 c;
	__u32 d;
};

PROGRAM(packed_fields)
{
	PACKET(struct bytes, p);
	__u64 sum = 0;
	LOOP(i, 16) {
		struct odd *o = (struct odd *)&p->b[i * 2];
		sum += o->a + o->b + o->c + o->d + o->kind;
	}
	return sum & 0xffff;
}

PROGRAM(stack_array)
{
	PACKET(struct words, p);
	__u32 a[32];
	LOOP(i, 32)
		a[i] = p->w[i & 15] + i;
	LOOP(k, 3)
		LOOP(i, 31)
			a[i + 1] += a[i] >> 3;
	return (a[31] ^ a[7]) & 0xffff;
}

PROGRAM(spills)
{
	PACKET(struct longs, p);
	__u64 a = p->d[0], b = p->d[1], c = p->d[2], d = p->d[3], e = p->d[4], f = p->d[5], g = p->d[6], h = p->d[7];
	__u64 k = a ^ h, l = b ^ g, m = c ^ f, n = d ^ e;
	LOOP(i, 32) {
		a += b ^ k, b += c ^ l, c += d ^ m, d += e ^ n;
		e += f + k, f += g + l, g += h + m, h += a + n;
		k ^= a, l ^= b, m ^= c, n ^= d;
	}
	return (a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ k ^ l ^ m ^ n) & 0xffff;
}

PROGRAM(global_table)
{
	PACKET(struct bytes, p);
	__u32 sum = 0;
	LOOP(i, 64) {
		__u32 at = (p->b[i] + sum) & 255;
		sum += table[at];
		table[at] = sum + i;
	}
	return 2;
}

PROGRAM(global_counters)
{
	PACKET(struct bytes, p);
	LOOP(i, 64)
		counters[p->b[i] & 15] += i;
	return 2;
}

PROGRAM(copy_packet)
{
	PACKET(struct bytes, p);
	LOOP(k, 8) {
		__builtin_memcpy(&shadow, p, sizeof(shadow));
		p->b[63] ^= shadow.b[k];
	}
	return 2;
}

PROGRAM(rewrite_fields)
{
	PACKET(struct words, p);
	LOOP(k, 12) {
		UNROLLED(i, 8) {
			__u32 v = p->w[i];
			p->w[i] = p->w[15 - i] + k;
			p->w[15 - i] = v;
		}
	}
	return 2;
}

PROGRAM(atomic_add)
{
	PACKET(struct bytes, p);
	LOOP(i, 48)
		__sync_fetch_and_add(&counters[p->b[i] & 15], 1);
	return 2;
}
