/*
 * Prints, for each pinned program of the command line, its path and the addresses of its compiled functions.
 */
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long call(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		static __u64 functions[1024];
		struct bpf_prog_info info = { 0 };
		union bpf_attr attr;
		int fd;

		memset(&attr, 0, sizeof(attr));
		attr.pathname = (unsigned long)argv[i];
		fd = call(BPF_OBJ_GET, &attr);
		if (fd < 0)
			return 1;
		info.nr_jited_ksyms = 1024;
		info.jited_ksyms = (unsigned long)functions;
		memset(&attr, 0, sizeof(attr));
		attr.info.bpf_fd = fd;
		attr.info.info_len = sizeof(info);
		attr.info.info = (unsigned long)&info;
		if (call(BPF_OBJ_GET_INFO_BY_FD, &attr))
			return 1;
		printf("%s", argv[i]);
		for (__u32 k = 0; k < info.nr_jited_ksyms && k < 1024; k++)
			printf(" %llx", functions[k]);
		printf("\n");
		close(fd);
	}
	return 0;
}
