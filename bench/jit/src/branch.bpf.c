// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Branches and loops. */
#include "bench.h"

PROGRAM(collatz)
{
	PACKET(struct words, p);
	__u32 n = (p->w[0] & 0xffff) | 1, steps = 0;
	LOOP(i, 100) {
		if (n == 1)
			break;
		n = n & 1 ? n * 3 + 1 : n >> 1;
		steps++;
	}
	return steps;
}

PROGRAM(compare_tree)
{
	PACKET(struct bytes, p);
	__u32 sum = 0;
	LOOP(i, 64) {
		__u32 v = p->b[i] & 15;
		switch (v) {
		case 0: sum += 3; break;
		case 1: sum ^= 5; break;
		case 2: sum *= 7; break;
		case 3: sum -= i; break;
		case 4: sum <<= 1; break;
		case 5: sum += i; break;
		case 6: sum |= 9; break;
		case 9: sum ^= 0x55; break;
		case 11: sum *= 3; break;
		case 13: sum += 17; break;
		default: sum++;
		}
	}
	return sum & 0xffff;
}

PROGRAM(nested_loops)
{
	PACKET(struct words, p);
	__u32 sum = p->w[0];
	LOOP(i, 12)
		LOOP(j, 12)
			sum = sum * 5 + (i ^ j);
	return sum & 0xffff;
}

PROGRAM(min_max)
{
	PACKET(struct words, p);
	__u32 low = ~0, high = 0;
	LOOP(k, 96) {
		__u32 v = p->w[k & 15] ^ k * 2654435761u;
		if (v < low)
			low = v;
		if (v > high)
			high = v;
	}
	return (high ^ low) & 0xffff;
}

PROGRAM(guards)
{
	PACKET(struct words, p);
	__u32 passed = 0;
	LOOP(i, 48) {
		__u32 v = p->w[i & 15] + i;
		if (v & 1 && v & 4)
			passed++;
		else if ((v & 0xf0) == 0x50)
			passed += 2;
		else if (v > 0x80000000 && !(v & 8))
			passed += 3;
		else if ((__s32)v < -4096)
			passed += 5;
	}
	return passed;
}

PROGRAM(binary_search)
{
	PACKET(struct words, p);
	static const __u32 table[32] = { 3, 9, 20, 33, 41, 57, 69, 80, 99, 120, 133, 150, 177, 190, 205, 222,
					 240, 260, 277, 290, 310, 333, 350, 371, 390, 405, 422, 444, 460, 480, 499, 510 };
	__u32 sum = 0;
	LOOP(k, 16) {
		__u32 want = p->w[k] & 511, low = 0, high = 31;
		LOOP(i, 5) {
			__u32 middle = (low + high) >> 1 & 31;
			if (table[middle] < want)
				low = middle + 1;
			else
				high = middle;
		}
		sum = sum * 3 + low;
	}
	return sum & 0xffff;
}

PROGRAM(select_dense)
{
	PACKET(struct words, p);
	__u32 a = p->w[0], b = p->w[1];
	LOOP(i, 96) {
		__u32 m = a > b ? a - b : b - a;
		a = m & 1 ? a + i : a ^ m;
		b += m;
	}
	return (a ^ b) & 0xffff;
}
