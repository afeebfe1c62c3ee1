/* Notes what a USDT probe hands over: how many arguments, their values and the cookie. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/usdt.bpf.h>

volatile __u64 calls;
volatile __s64 arguments[12];
volatile __s32 count;
volatile __s64 cookie;

static int note(struct pt_regs *ctx)
{
	long value;

	__sync_fetch_and_add(&calls, 1);
	count = bpf_usdt_arg_cnt(ctx);
	cookie = bpf_usdt_cookie(ctx);
	for (int i = 0; i < 12; i++) {
		value = -1;
		bpf_usdt_arg(ctx, i, &value);
		arguments[i] = value;
	}
	return 0;
}

SEC("usdt")
int on_usdt(struct pt_regs *ctx)
{
	return note(ctx);
}

/* As a plain uprobe it has no spec, so that every use of the maps fails. */
SEC("uprobe")
int on_uprobe_without(struct pt_regs *ctx)
{
	return note(ctx);
}

char _license[] SEC("license") = "GPL";
