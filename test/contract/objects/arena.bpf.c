// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
#include "check.h"

#define __arena __attribute__((address_space(1)))
/* BPF_MAP_TYPE_ARENA, which is newer than the headers. */
#define MAP_TYPE_ARENA 33

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *address, __u32 pages, int node, __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void __arena *address, __u32 pages) __ksym;

struct {
	__uint(type, MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 5);
} arena SEC(".maps");

SEC("syscall")
int pages(void *ctx)
{
	__u64 __arena *first = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);
	__u64 __arena *more;
	__u64 __arena *third;

	if (!first)
		return __LINE__;
	CHECK(*first == 0);
	first[511] = 7;
	CHECK(first[511] == 7);
	more = bpf_arena_alloc_pages(&arena, 0, 3, -1, 0);
	if (!more)
		return __LINE__;
	CHECK(!bpf_arena_alloc_pages(&arena, 0, 1, -1, 0));
	CHECK(!bpf_arena_alloc_pages(&arena, 0, 1, -1, 1));
	/* A pointer in the arena to the arena. */
	first[0] = (__u64)more;
	third = (__u64 __arena *)first[0];
	third[1] = 9;
	CHECK(more[1] == 9);
	bpf_arena_free_pages(&arena, first, 1);
	first = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);
	if (!first)
		return __LINE__;
	CHECK(first[511] == 0);
	bpf_arena_free_pages(&arena, first, 1);
	bpf_arena_free_pages(&arena, more, 3);
	return 0;
}

/* In a page of the arena of their own. */
int __attribute__((address_space(1))) SEC(".addr_space.1") first_variable = 5;
int __attribute__((address_space(1))) SEC(".addr_space.1") second_variable = 6;

SEC("syscall")
int globals(void *ctx)
{
	int __arena *second = &second_variable;
	int before;

	/* A program that names no arena has none. */
	bpf_arena_free_pages(&arena, 0, 0);
	before = *second;
	*second = before + 1;
	CHECK(first_variable == 5);
	CHECK(before >= 6 && *second == before + 1);
	return 0;
}
