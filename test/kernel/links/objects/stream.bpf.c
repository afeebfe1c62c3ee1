// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Prints to its streams (Linux 6.17). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int bpf_stream_vprintk_impl(int stream_id, const char *fmt__str, const void *args, __u32 len__sz,
				   void *aux__prog) __ksym __weak;

SEC("syscall") int print(void *ctx)
{
	static const char format[] = "stream %d says %d\n";
	__u64 out[] = { 1, 42 };
	__u64 err[] = { 2, 43 };

	if (!bpf_stream_vprintk_impl)
		return -2;
	int written = bpf_stream_vprintk_impl(1, format, out, sizeof(out), 0);
	if (written >= 0)
		written = bpf_stream_vprintk_impl(2, format, err, sizeof(err), 0);
	return written;
}

char _license[] SEC("license") = "GPL";
