// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
#include "check.h"
#include <stddef.h>
#include <bpf/bpf_core_read.h>

#define CONTAINS(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define KPTR __attribute__((btf_type_tag("kptr")))
#define PRIVATE(name) SEC(".bss." #name) __attribute__((aligned(8)))
#define NEW(type) ((type *)bpf_obj_new_impl(bpf_core_type_id_local(type), 0))
#define DROP(object) bpf_obj_drop_impl(object, 0)

/* Newer than the headers. */
struct bpf_list_head {
	__u64 opaque[2];
} __attribute__((aligned(8)));
struct bpf_list_node {
	__u64 opaque[3];
} __attribute__((aligned(8)));
struct bpf_rb_root {
	__u64 opaque[2];
} __attribute__((aligned(8)));
struct bpf_rb_node {
	__u64 opaque[4];
} __attribute__((aligned(8)));
struct bpf_refcount {
	__u32 opaque[1];
} __attribute__((aligned(4)));

extern void *bpf_obj_new_impl(__u64 type, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *object, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta,
				    __u64 off) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta,
				   __u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       bool(less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta,
			       __u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;

struct item {
	struct bpf_list_node node;
	int value;
};

struct leaf {
	struct bpf_rb_node node;
	int value;
};

struct counted {
	int value;
	struct bpf_refcount references;
	struct bpf_list_node node;
};

PRIVATE(a) struct bpf_spin_lock list_lock;
PRIVATE(a) struct bpf_list_head list CONTAINS(item, node);
PRIVATE(b) struct bpf_spin_lock tree_lock;
PRIVATE(b) struct bpf_rb_root tree CONTAINS(leaf, node);
PRIVATE(c) struct bpf_spin_lock counted_lock;
PRIVATE(c) struct bpf_list_head counted_list CONTAINS(counted, node);

struct slot {
	struct leaf KPTR *leaf;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

static int push(int value, bool back)
{
	struct item *item = NEW(struct item);
	int error;

	if (!item)
		return -ENOMEM;
	item->value = value;
	bpf_spin_lock(&list_lock);
	error = back ? bpf_list_push_back_impl(&list, &item->node, 0, 0) :
		       bpf_list_push_front_impl(&list, &item->node, 0, 0);
	bpf_spin_unlock(&list_lock);
	return error;
}

static int pop(bool back)
{
	struct bpf_list_node *node;
	struct item *item;
	int value;

	bpf_spin_lock(&list_lock);
	node = back ? bpf_list_pop_back(&list) : bpf_list_pop_front(&list);
	bpf_spin_unlock(&list_lock);
	if (!node)
		return -1;
	item = container_of(node, struct item, node);
	value = item->value;
	DROP(item);
	return value;
}

SEC("tc")
int lists(struct __sk_buff *skb)
{
	CHECK(pop(false) == -1);
	CHECK(push(1, true) == 0);
	CHECK(push(2, true) == 0);
	CHECK(push(3, false) == 0);
	CHECK(pop(true) == 2);
	CHECK(pop(false) == 3);
	CHECK(pop(false) == 1);
	CHECK(pop(true) == -1);
	return 0;
}

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct leaf, node)->value < container_of(b, struct leaf, node)->value;
}

static int add(int value)
{
	struct leaf *leaf = NEW(struct leaf);
	int error;

	if (!leaf)
		return -ENOMEM;
	leaf->value = value;
	bpf_spin_lock(&tree_lock);
	error = bpf_rbtree_add_impl(&tree, &leaf->node, less, 0, 0);
	bpf_spin_unlock(&tree_lock);
	return error;
}

static int take_first(void)
{
	struct bpf_rb_node *node;
	struct leaf *leaf;
	int value;

	bpf_spin_lock(&tree_lock);
	node = bpf_rbtree_first(&tree);
	if (!node) {
		bpf_spin_unlock(&tree_lock);
		return -1;
	}
	node = bpf_rbtree_remove(&tree, node);
	bpf_spin_unlock(&tree_lock);
	if (!node)
		return -2;
	leaf = container_of(node, struct leaf, node);
	value = leaf->value;
	DROP(leaf);
	return value;
}

SEC("tc")
int trees(struct __sk_buff *skb)
{
	CHECK(take_first() == -1);
	CHECK(add(5) == 0);
	CHECK(add(3) == 0);
	CHECK(add(9) == 0);
	CHECK(add(4) == 0);
	CHECK(add(3) == 0);
	CHECK(take_first() == 3);
	CHECK(take_first() == 3);
	CHECK(add(1) == 0);
	CHECK(take_first() == 1);
	CHECK(take_first() == 4);
	CHECK(take_first() == 5);
	CHECK(take_first() == 9);
	CHECK(take_first() == -1);
	return 0;
}

SEC("tc")
int references(struct __sk_buff *skb)
{
	struct counted *object = NEW(struct counted), *other;
	struct bpf_list_node *node;
	int error, value;

	if (!object)
		return __LINE__;
	object->value = 42;
	other = bpf_refcount_acquire_impl(object, 0);
	bpf_spin_lock(&counted_lock);
	error = bpf_list_push_back_impl(&counted_list, &object->node, 0, 0);
	bpf_spin_unlock(&counted_lock);
	value = other ? other->value : -1;
	if (error || value != 42) {
		if (other)
			DROP(other);
		return __LINE__;
	}
	/* It is in a list already. */
	bpf_spin_lock(&counted_lock);
	error = bpf_list_push_back_impl(&counted_list, &other->node, 0, 0);
	bpf_spin_unlock(&counted_lock);
	CHECK(error == -EINVAL);
	bpf_spin_lock(&counted_lock);
	node = bpf_list_pop_front(&counted_list);
	bpf_spin_unlock(&counted_lock);
	if (!node)
		return __LINE__;
	object = container_of(node, struct counted, node);
	value = object->value;
	DROP(object);
	CHECK(value == 42);
	return 0;
}

SEC("tc")
int pointers(struct __sk_buff *skb)
{
	struct leaf *leaf = NEW(struct leaf), *old;
	struct slot *slot;
	__u32 key = 0;
	int value;

	if (!leaf)
		return __LINE__;
	leaf->value = 11;
	slot = bpf_map_lookup_elem(&slots, &key);
	if (!slot) {
		DROP(leaf);
		return __LINE__;
	}
	old = bpf_kptr_xchg(&slot->leaf, leaf);
	if (old) {
		DROP(old);
		return __LINE__;
	}
	old = bpf_kptr_xchg(&slot->leaf, 0);
	if (!old)
		return __LINE__;
	value = old->value;
	DROP(old);
	CHECK(value == 11);
	return 0;
}
