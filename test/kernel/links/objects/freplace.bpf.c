/* A program with a function that another program replaces, and that program; and one that traces it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

volatile __u64 replaced_count;
volatile __u64 traced_count;

__attribute__((noinline)) int answer(struct __sk_buff *skb)
{
	volatile int result = 1;

	return result;
}

SEC("tc")
int ask(struct __sk_buff *skb)
{
	return answer(skb);
}

SEC("?freplace/answer")
int replacement(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&replaced_count, 1);
	return 2;
}

SEC("?fentry/answer")
int trace(void *ctx)
{
	__sync_fetch_and_add(&traced_count, 1);
	return 0;
}

char _license[] SEC("license") = "GPL";
