// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Arithmetic of 32 and 64 bits. */
#include "bench.h"

PROGRAM(add_chain64)
{
	PACKET(struct longs, p);
	__u64 a = p->d[0], b = p->d[1];
	LOOP(i, 128) {
		a += b;
		b ^= a << 1;
		HIDE(b);
	}
	return (a + b) & 0xffff;
}

PROGRAM(add_chain32)
{
	PACKET(struct words, p);
	__u32 a = p->w[0], b = p->w[1];
	LOOP(i, 128) {
		a += b;
		b ^= a << 1;
		HIDE(b);
	}
	return (a + b) & 0xffff;
}

PROGRAM(multiply64)
{
	PACKET(struct longs, p);
	__u64 a = p->d[0] | 1;
	LOOP(i, 96)
		a = a * 6364136223846793005ULL + 1442695040888963407ULL;
	return (a >> 33) & 0xffff;
}

PROGRAM(multiply32)
{
	PACKET(struct words, p);
	__u32 a = p->w[0] | 1;
	LOOP(i, 96)
		a = a * 1664525 + 1013904223;
	return a >> 16;
}

PROGRAM(divide)
{
	PACKET(struct words, p);
	__u32 a = p->w[0] | 0x80000000, b = (p->w[1] & 0xff) + 2, sum = 0;
	LOOP(i, 48) {
		sum += a / b + a % (b + i);
		a ^= sum;
	}
	return sum & 0xffff;
}

PROGRAM(popcount)
{
	PACKET(struct longs, p);
	__u32 sum = 0;
	LOOP(k, 32) {
		__u64 x = p->d[k & 7] + k;
		x = x - ((x >> 1) & 0x5555555555555555ULL);
		x = (x & 0x3333333333333333ULL) + ((x >> 2) & 0x3333333333333333ULL);
		x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
		sum += (x * 0x0101010101010101ULL) >> 56;
	}
	return sum;
}

PROGRAM(rotate64)
{
	PACKET(struct longs, p);
	__u64 a = p->d[0], b = p->d[1];
	LOOP(i, 64) {
		a = (a << 13 | a >> 51) + b;
		b = (b << 29 | b >> 35) ^ a;
	}
	return (a ^ b) & 0xffff;
}

PROGRAM(rotate32)
{
	PACKET(struct words, p);
	__u32 a = p->w[0], b = p->w[1];
	LOOP(i, 64) {
		a = (a << 13 | a >> 19) + b;
		b = (b << 7 | b >> 25) ^ a;
	}
	return (a ^ b) & 0xffff;
}

PROGRAM(swap_bytes)
{
	PACKET(struct words, p);
	__u32 sum = 0;
	LOOP(i, 64) {
		__u32 v = p->w[i & 15];
		sum += bpf_ntohl(v) ^ bpf_ntohs((__u16)v);
	}
	return sum & 0xffff;
}

PROGRAM(mixed_widths)
{
	PACKET(struct words, p);
	__u64 a = p->w[0];
	__u32 b = p->w[1];
	LOOP(i, 96) {
		b = b * 33 + (__u32)a;
		a += (__u64)b << (i & 7);
		b ^= (__u32)(a >> 32);
	}
	return (a ^ b) & 0xffff;
}

PROGRAM(signed_shift)
{
	PACKET(struct longs, p);
	__s64 a = p->d[0], sum = 0;
	LOOP(i, 96) {
		sum += a >> (i & 31);
		a = a * 3 - (__s32)sum;
	}
	return sum & 0xffff;
}

PROGRAM(bit_reverse)
{
	PACKET(struct words, p);
	__u32 sum = 0;
	LOOP(i, 32) {
		__u32 v = p->w[i & 15];
		v = (v >> 1 & 0x55555555) | (v & 0x55555555) << 1;
		v = (v >> 2 & 0x33333333) | (v & 0x33333333) << 2;
		v = (v >> 4 & 0x0f0f0f0f) | (v & 0x0f0f0f0f) << 4;
		sum += __builtin_bswap32(v);
	}
	return sum & 0xffff;
}
