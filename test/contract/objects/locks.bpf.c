// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
#include "check.h"

struct bpf_res_spin_lock {
	__u32 val;
};

extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) __ksym;
extern int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock, unsigned long *flags) __ksym;
extern void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock, unsigned long *flags) __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym;

struct locked {
	struct bpf_res_spin_lock lock;
	int value;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct locked);
} values SEC(".maps");

SEC("tc")
int resilient(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct locked *found = bpf_map_lookup_elem(&values, &zero);

	CHECK(found);
	CHECK(bpf_res_spin_lock(&found->lock) == 0);
	found->value++;
	bpf_res_spin_unlock(&found->lock);
	return 0;
}

SEC("tc")
int resilient_without_interrupts(struct __sk_buff *skb)
{
	unsigned long flags;
	__u32 zero = 0;
	struct locked *found = bpf_map_lookup_elem(&values, &zero);

	CHECK(found);
	CHECK(bpf_res_spin_lock_irqsave(&found->lock, &flags) == 0);
	found->value++;
	bpf_res_spin_unlock_irqrestore(&found->lock, &flags);
	return 0;
}

SEC("tc")
int interrupts(struct __sk_buff *skb)
{
	unsigned long flags;

	bpf_local_irq_save(&flags);
	bpf_local_irq_restore(&flags);
	return 0;
}
