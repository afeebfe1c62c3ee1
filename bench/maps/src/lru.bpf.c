// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* LRU hashes; `evict` adds keys to a full map, most of which are new. */
#include "maps.h"

#define LRU(map, kind, n, max)                                                                                        \
	MAP(map, kind, __u32, __u64, max, 0);                                                                         \
	FILL(map, __u32, KEY4)                                                                                        \
	LOOKUP_UPDATE(map, __u32, KEY4, n)                                                                            \
	UPDATE_AS(map##_evict, map, __u32, KEY4, 16 * (n))

LRU(lru_1k, LRU_HASH, 1000, 4096)
LRU(lru_100k, LRU_HASH, 100000, 131072)
LRU(percpu_lru_1k, LRU_PERCPU_HASH, 1000, 4096)
