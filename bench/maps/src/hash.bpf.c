// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Hashes by size of the key and number of entries. */
#include "maps.h"

#define HASH(map, kind, K, key_of, n, max)                                                                            \
	MAP(map, kind, K, __u64, max, 0);                                                                             \
	FILL(map, K, key_of)                                                                                          \
	ALL(map, K, key_of, n)

HASH(hash4_1k, HASH, __u32, KEY4, 1000, 1024)
HASH(hash8_1k, HASH, struct key8, KEY8, 1000, 1024)
HASH(hash16_1k, HASH, struct key16, KEY16, 1000, 1024)
HASH(hash40_1k, HASH, struct key40, KEY40, 1000, 1024)
HASH(hash4_1m, HASH, __u32, KEY4, 1000000, 1048576)
HASH(hash8_1m, HASH, struct key8, KEY8, 1000000, 1048576)
HASH(hash16_1m, HASH, struct key16, KEY16, 1000000, 1048576)
HASH(hash40_1m, HASH, struct key40, KEY40, 1000000, 1048576)
HASH(percpu_hash_1k, PERCPU_HASH, __u32, KEY4, 1000, 1024)
