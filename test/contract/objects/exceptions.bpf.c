// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
#include "check.h"

extern void bpf_throw(__u64 cookie) __ksym;

#define __exception_cb(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

int calls;

__noinline int handler(__u64 cookie)
{
	/* What a program returns after bpf_throw. */
	return cookie == 7 && calls == 1 ? 0 : __LINE__;
}

static __noinline int deeper(struct __sk_buff *skb)
{
	calls++;
	if (skb->len)
		bpf_throw(7);
	return 1;
}

SEC("tc")
int value(struct __sk_buff *skb)
{
	bpf_throw(0);
	return __LINE__;
}

SEC("tc")
__exception_cb(handler) int caught(struct __sk_buff *skb)
{
	calls = 0;
	deeper(skb);
	return __LINE__;
}
