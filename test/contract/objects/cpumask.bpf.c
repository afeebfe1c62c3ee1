// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
#include "check.h"

/* Opaque; the loader only compares that they are structures. */
struct cpumask {
	__u64 bits;
};
struct bpf_cpumask {
	struct cpumask cpumask;
};

extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *mask) __ksym;
extern __u32 bpf_cpumask_first(const struct cpumask *mask) __ksym;
extern __u32 bpf_cpumask_first_zero(const struct cpumask *mask) __ksym;
extern void bpf_cpumask_set_cpu(__u32 cpu, struct bpf_cpumask *mask) __ksym;
extern bool bpf_cpumask_test_cpu(__u32 cpu, const struct cpumask *mask) __ksym;
extern bool bpf_cpumask_test_and_set_cpu(__u32 cpu, struct bpf_cpumask *mask) __ksym;
extern bool bpf_cpumask_test_and_clear_cpu(__u32 cpu, struct bpf_cpumask *mask) __ksym;
extern bool bpf_cpumask_empty(const struct cpumask *mask) __ksym;
extern void bpf_cpumask_setall(struct bpf_cpumask *mask) __ksym;
extern bool bpf_cpumask_full(const struct cpumask *mask) __ksym;
extern __u32 bpf_cpumask_weight(const struct cpumask *mask) __ksym;

static int use(struct bpf_cpumask *mask)
{
	const struct cpumask *view = (const struct cpumask *)mask;

	CHECK(bpf_cpumask_empty(view));
	bpf_cpumask_set_cpu(0, mask);
	CHECK(bpf_cpumask_test_cpu(0, view) && !bpf_cpumask_test_cpu(1, view));
	CHECK(bpf_cpumask_first(view) == 0 && bpf_cpumask_first_zero(view) == 1);
	CHECK(bpf_cpumask_weight(view) == 1);
	CHECK(bpf_cpumask_test_and_set_cpu(0, mask));
	CHECK(bpf_cpumask_test_and_clear_cpu(0, mask));
	CHECK(!bpf_cpumask_test_and_clear_cpu(0, mask));
	bpf_cpumask_set_cpu(100000, mask);
	CHECK(bpf_cpumask_empty(view));
	bpf_cpumask_setall(mask);
	CHECK(bpf_cpumask_full(view));
	return 0;
}

SEC("syscall")
int masks(void *ctx)
{
	struct bpf_cpumask *mask = bpf_cpumask_create();
	int line;

	if (!mask)
		return __LINE__;
	line = use(mask);
	bpf_cpumask_release(mask);
	return line;
}
