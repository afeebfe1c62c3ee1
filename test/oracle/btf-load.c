// Reads blobs from standard input (32-bit length, bytes) and prints for each whether BPF_BTF_LOAD takes it: "0", or the
// errno and the last line of the kernel's log.
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char log_buffer[1 << 24];

int main(void)
{
	uint32_t length;

	while (fread(&length, sizeof(length), 1, stdin) == 1) {
		char *blob = malloc(length ? length : 1);
		union bpf_attr attr;
		int fd;

		if (fread(blob, 1, length, stdin) != length)
			return 1;
		memset(&attr, 0, sizeof(attr));
		attr.btf = (uintptr_t)blob;
		attr.btf_size = length;
		fd = syscall(SYS_bpf, BPF_BTF_LOAD, &attr, sizeof(attr));
		if (fd >= 0) {
			close(fd);
			puts("0");
		} else {
			int error = errno;
			char *end, *line;

			log_buffer[0] = 0;
			attr.btf_log_level = 1;
			attr.btf_log_size = sizeof(log_buffer);
			attr.btf_log_buf = (uintptr_t)log_buffer;
			fd = syscall(SYS_bpf, BPF_BTF_LOAD, &attr, sizeof(attr));
			if (fd >= 0)
				close(fd);
			end = log_buffer + strlen(log_buffer);
			while (end > log_buffer && end[-1] == '\n')
				*--end = 0;
			line = strrchr(log_buffer, '\n');
			printf("%d %s\n", error, line ? line + 1 : log_buffer);
		}
		free(blob);
	}
	return 0;
}
