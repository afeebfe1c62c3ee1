/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* Programs that test themselves: they return 0, or the line of the check that failed. */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/errno.h>
#include <bpf/bpf_helpers.h>

#define CHECK(condition)                                                                                               \
	if (!(condition))                                                                                              \
	return __LINE__

char LICENSE[] SEC("license") = "GPL";

#endif
