// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/* Many operations on a map in one run: the packet says which, and gets their results. See ../map-operations.mjs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define OPS 32

struct operation {
	__u8 what, key, value, prefix;
};
struct packet {
	struct operation ops[OPS];
	__s64 results[OPS];
};
struct value {
	__u8 b[12];
};

#define PACKET(p)                                                                                                     \
	struct packet *p = (void *)(long)ctx->data;                                                                   \
	if ((void *)(p + 1) > (void *)(long)ctx->data_end)                                                            \
	return XDP_ABORTED
#define LOOP(i, n) _Pragma("clang loop unroll(disable)") for (__u32 i = 0; i < (n); i++)

static __always_inline void fill(struct value *value, __u8 byte)
{
	__builtin_memset(value, 0, sizeof(*value));
	value->b[0] = byte;
	value->b[11] = byte ^ 0x55;
}

static __always_inline __s64 seen(struct value *value)
{
	return value->b[0] | value->b[11] << 8;
}

/* Keeps the compiler from making one call of several with other flags, which the JIT has to know. */
#define APART(n) asm volatile("" ::"i"(n))

/* The operations on `map`, which is an expression; `key` is in a variable. */
#define PERFORM(map)                                                                                                  \
	switch (op.what % 7) {                                                                                        \
	case 0:                                                                                                       \
		v = bpf_map_lookup_elem(map, &key);                                                                   \
		result = v ? seen(v) : -1;                                                                            \
		held = v;                                                                                             \
		break;                                                                                                \
	case 1:                                                                                                       \
		result = bpf_map_update_elem(map, &key, &value, BPF_ANY);                                             \
		APART(1);                                                                                             \
		break;                                                                                                \
	case 2:                                                                                                       \
		result = bpf_map_update_elem(map, &key, &value, BPF_NOEXIST);                                         \
		APART(2);                                                                                             \
		break;                                                                                                \
	case 3:                                                                                                       \
		result = bpf_map_update_elem(map, &key, &value, BPF_EXIST);                                           \
		APART(3);                                                                                             \
		break;                                                                                                \
	case 4:                                                                                                       \
		result = bpf_map_delete_elem(map, &key);                                                              \
		APART(4);                                                                                             \
		break;                                                                                                \
	case 5:                                                                                                       \
		v = bpf_map_lookup_elem(map, &key);                                                                   \
		if (v) {                                                                                              \
			v->b[0]++;                                                                                    \
			result = seen(v);                                                                             \
		}                                                                                                     \
		break;                                                                                                \
	default:                                                                                                      \
		result = held ? seen(held) : -2;                                                                      \
	}

#define MAP(map, kind, K, n, flags)                                                                                   \
	struct {                                                                                                      \
		__uint(type, BPF_MAP_TYPE_##kind);                                                                    \
		__type(key, K);                                                                                       \
		__type(value, struct value);                                                                          \
		__uint(max_entries, n);                                                                               \
		__uint(map_flags, flags);                                                                             \
	} map SEC(".maps")

#define PROGRAM(name, K, make_key, target)                                                                            \
	SEC("xdp") int run_##name(struct xdp_md *ctx)                                                                 \
	{                                                                                                             \
		struct value *held = 0, *v;                                                                           \
		PACKET(p);                                                                                            \
		LOOP(i, OPS) {                                                                                        \
			struct operation op = p->ops[i];                                                              \
			struct value value;                                                                           \
			__s64 result = 0;                                                                             \
			K key;                                                                                        \
			make_key(&key, &op);                                                                          \
			fill(&value, op.value);                                                                       \
			target;                                                                                       \
			p->results[i] = result;                                                                       \
		}                                                                                                     \
		return XDP_PASS;                                                                                      \
	}

#define BYTES(n)                                                                                                      \
	struct bytes##n {                                                                                             \
		__u8 b[n];                                                                                            \
	};                                                                                                            \
	static __always_inline void key##n(struct bytes##n *key, struct operation *op)                                \
	{                                                                                                             \
		__builtin_memset(key, 7, n);                                                                          \
		key->b[0] = op->key;                                                                                  \
		key->b[n - 1] ^= op->key >> 3;                                                                        \
	}
BYTES(4)
BYTES(7)
BYTES(8)
BYTES(16)
BYTES(40)
static __always_inline void index(__u32 *key, struct operation *op)
{
	*key = op->key;
}

#define KEYED(name, kind, size, n, flags)                                                                             \
	MAP(name, kind, struct bytes##size, n, flags);                                                                \
	PROGRAM(name, struct bytes##size, key##size, PERFORM(&name))
KEYED(hash4, HASH, 4, 40, 0)
KEYED(hash7, HASH, 7, 40, 0)
KEYED(hash8, HASH, 8, 40, 0)
KEYED(hash16, HASH, 16, 40, 0)
KEYED(hash40, HASH, 40, 200, 0)
KEYED(hash_alloc, HASH, 8, 40, BPF_F_NO_PREALLOC)
KEYED(percpu_hash, PERCPU_HASH, 4, 40, 0)
KEYED(percpu_alloc, PERCPU_HASH, 4, 40, BPF_F_NO_PREALLOC)
KEYED(lru, LRU_HASH, 8, 8192, 0)
KEYED(percpu_lru, LRU_PERCPU_HASH, 4, 8192, 0)
KEYED(small_lru, LRU_HASH, 8, 20, 0)
KEYED(small_percpu_lru, LRU_PERCPU_HASH, 16, 20, 0)
MAP(array, ARRAY, __u32, 40, 0);
PROGRAM(array, __u32, index, PERFORM(&array))
MAP(percpu_array, PERCPU_ARRAY, __u32, 40, 0);
PROGRAM(percpu_array, __u32, index, PERFORM(&percpu_array))

/* Prefixes of 0 to one more than all bits; 32 keys whose first bits are the same in part. */
#define TRIE(n)                                                                                                       \
	struct prefix##n {                                                                                            \
		__u32 length;                                                                                         \
		__u8 b[n];                                                                                            \
	} __attribute__((packed));                                                                                    \
	static __always_inline void prefix_key##n(struct prefix##n *key, struct operation *op)                        \
	{                                                                                                             \
		key->length = op->prefix % (n * 8 + 2);                                                               \
		_Pragma("clang loop unroll(full)") for (int j = 0; j < n; j++)                                        \
			key->b[j] = op->key & 1 << j % 5 ? 0x80 | j : 0x10;                                           \
	}                                                                                                             \
	MAP(trie##n, LPM_TRIE, struct prefix##n, 60, BPF_F_NO_PREALLOC);                                              \
	PROGRAM(trie##n, struct prefix##n, prefix_key##n, PERFORM(&trie##n))
TRIE(4)
TRIE(5)
TRIE(8)
TRIE(16)
TRIE(20)

/* Values with a lock between other bytes, which updates leave alone. */
struct locked {
	__u8 first;
	struct bpf_spin_lock lock;
	struct value value;
};
#define LOCKED_UPDATE(n, map, flags)                                                                                  \
	case n:                                                                                                       \
		result = bpf_map_update_elem(&map, &key, &mine, flags);                                               \
		APART(100 + n);                                                                                       \
		break;
#define LOCKED(map, kind, create_flags, K, make_key)                                                                     \
	struct {                                                                                                      \
		__uint(type, BPF_MAP_TYPE_##kind);                                                                    \
		__type(key, K);                                                                                       \
		__type(value, struct locked);                                                                         \
		__uint(max_entries, 40);                                                                              \
		__uint(map_flags, create_flags);                                                                      \
	} map SEC(".maps");                                                                                           \
	SEC("xdp") int run_##map(struct xdp_md *ctx)                                                                  \
	{                                                                                                             \
		PACKET(p);                                                                                            \
		LOOP(i, OPS) {                                                                                        \
			struct operation op = p->ops[i];                                                              \
			struct locked mine = {}, *v;                                                                  \
			__s64 result = 0;                                                                             \
			K key;                                                                                        \
			make_key(&key, &op);                                                                          \
			fill(&mine.value, op.value);                                                                  \
			mine.first = op.prefix;                                                                       \
			switch (op.what % 9) {                                                                        \
				LOCKED_UPDATE(0, map, BPF_ANY)                                                        \
				LOCKED_UPDATE(1, map, BPF_NOEXIST)                                                    \
				LOCKED_UPDATE(2, map, BPF_EXIST)                                                      \
				LOCKED_UPDATE(3, map, BPF_F_LOCK)                                                     \
				LOCKED_UPDATE(4, map, BPF_F_LOCK | BPF_NOEXIST)                                       \
				LOCKED_UPDATE(5, map, BPF_F_LOCK | BPF_EXIST)                                         \
			case 6:                                                                                       \
				result = bpf_map_delete_elem(&map, &key);                                             \
				break;                                                                                \
			default:                                                                                      \
				v = bpf_map_lookup_elem(&map, &key);                                                  \
				if (!v)                                                                               \
					break;                                                                        \
				bpf_spin_lock(&v->lock);                                                              \
				v->value.b[0]++;                                                                      \
				v->first ^= 1;                                                                        \
				result = seen(&v->value) | v->first << 16;                                            \
				bpf_spin_unlock(&v->lock);                                                            \
			}                                                                                             \
			p->results[i] = result;                                                                       \
		}                                                                                                     \
		return XDP_PASS;                                                                                      \
	}
LOCKED(locked_hash, HASH, 0, struct bytes8, key8)
LOCKED(locked_alloc, HASH, BPF_F_NO_PREALLOC, struct bytes8, key8)
LOCKED(locked_array, ARRAY, 0, __u32, index)

/* Values of CPUs, this one and others that there are not. */
SEC("xdp") int run_cpus(struct xdp_md *ctx)
{
	PACKET(p);
	LOOP(i, OPS) {
		struct operation op = p->ops[i];
		struct bytes16 key;
		struct bytes4 hash_key;
		__u32 at = op.key;
		struct value value, *v;
		key16(&key, &op);
		key4(&hash_key, &op);
		fill(&value, op.value);
		__u32 which = op.prefix % 4 ? bpf_get_smp_processor_id() : 0xffffffff - op.what;
		switch (op.what % 6) {
		case 0:
			bpf_map_update_elem(&percpu_array, &at, &value, 0);
		case 1:
			v = bpf_map_lookup_percpu_elem(&percpu_array, &at, which);
			break;
		case 2:
			bpf_map_update_elem(&percpu_hash, &hash_key, &value, 0);
		case 3:
			v = bpf_map_lookup_percpu_elem(&percpu_hash, &hash_key, which);
			break;
		case 4:
			bpf_map_update_elem(&small_percpu_lru, &key, &value, 0);
		default:
			v = bpf_map_lookup_percpu_elem(&small_percpu_lru, &key, which);
		}
		p->results[i] = v ? seen(v) : -1;
	}
	return XDP_PASS;
}

struct inner_hash {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct bytes16);
	__type(value, struct value);
	__uint(max_entries, 20);
} hash_a SEC(".maps"), hash_b SEC(".maps");
struct inner_array {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct value);
	__uint(max_entries, 20);
} array_a SEC(".maps"), array_b SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner_hash);
} hashes SEC(".maps") = { .values = { &hash_a, &hash_b } };
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct inner_array);
} arrays SEC(".maps") = { .values = { &array_a, &array_b } };
#define INNER(outer)                                                                                                  \
	__u32 which = op.prefix % 4;                                                                                  \
	void *inner = bpf_map_lookup_elem(&outer, &which);                                                            \
	result = -3;                                                                                                  \
	if (inner)                                                                                                    \
		PERFORM(inner)
PROGRAM(hashes, struct bytes16, key16, INNER(hashes))
PROGRAM(arrays, __u32, index, INNER(arrays))

#define QUEUE(name, kind, n, pop)                                                                                     \
	struct {                                                                                                      \
		__uint(type, BPF_MAP_TYPE_##kind);                                                                    \
		__type(value, struct value);                                                                          \
		__uint(max_entries, n);                                                                               \
	} name SEC(".maps");                                                                                          \
	SEC("xdp") int run_##name(struct xdp_md *ctx)                                                                 \
	{                                                                                                             \
		PACKET(p);                                                                                            \
		LOOP(i, OPS) {                                                                                        \
			struct operation op = p->ops[i];                                                              \
			struct value value;                                                                           \
			__s64 result;                                                                                 \
			fill(&value, op.value);                                                                       \
			switch (op.what % 4) {                                                                        \
			case 0:                                                                                       \
				result = bpf_map_push_elem(&name, &value, BPF_ANY);                                   \
				APART(5);                                                                             \
				break;                                                                                \
			case 1:                                                                                       \
				result = bpf_map_push_elem(&name, &value, BPF_EXIST);                                 \
				APART(6);                                                                             \
				break;                                                                                \
			case 2:                                                                                       \
				result = bpf_map_peek_elem(&name, &value);                                            \
				APART(7);                                                                             \
				break;                                                                                \
			default:                                                                                      \
				result = pop(&name, &value);                                                          \
				APART(8);                                                                             \
			}                                                                                             \
			p->results[i] = result << 32 | seen(&value);                                                  \
		}                                                                                                     \
		return XDP_PASS;                                                                                      \
	}
QUEUE(queue, QUEUE, 5, bpf_map_pop_elem)
QUEUE(stack, STACK, 5, bpf_map_pop_elem)
QUEUE(bloom, BLOOM_FILTER, 100000, bpf_map_peek_elem)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps"), other_ring SEC(".maps");

SEC("xdp") int run_rings(struct xdp_md *ctx)
{
	__u8 buffer[64] = "what is of another size each time";
	PACKET(p);
	LOOP(i, OPS) {
		struct operation op = p->ops[i];
		struct value value, *record;
		__s64 result = 0;
		fill(&value, op.value);
		switch (op.what % 8) {
		case 0:
			result = bpf_ringbuf_output(&ring, &value, sizeof(value), 0);
			break;
		case 1:
			result = bpf_ringbuf_output(&ring, buffer, op.key & 63, BPF_RB_NO_WAKEUP);
			break;
		case 2:
		case 3:
			record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
			if (!record)
				break;
			*record = value;
			result = 1;
			if (op.what % 8 == 2)
				bpf_ringbuf_submit(record, 0);
			else
				bpf_ringbuf_discard(record, 0);
			break;
		case 4:
			record = bpf_ringbuf_reserve(&other_ring, sizeof(*record), 0);
			if (!record)
				break;
			*record = value;
			result = 2;
			bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
			break;
		case 5:
			result = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
			break;
		case 6:
			result = bpf_ringbuf_query(&ring, BPF_RB_PROD_POS) - bpf_ringbuf_query(&ring, BPF_RB_CONS_POS);
			break;
		default:
			result = bpf_ringbuf_query(&other_ring, BPF_RB_RING_SIZE);
		}
		p->results[i] = result;
	}
	return XDP_PASS;
}
