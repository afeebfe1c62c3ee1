// What `bench-maps-api` compares elfbee with: bare lookups by bpf(2).
//
//   libbpf-maps LOOKUPS ROUNDS
//
// A hash of 1,024 entries with 4-byte keys and 8-byte values. Each round looks LOOKUPS keys up, one after the other, with
// nothing but the system call. Prints { lookups, ns: [...] }.
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ENTRIES 1024

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	unsigned long long value;
	union bpf_attr attr;
	int fd, lookups, rounds;
	unsigned key;

	if (argc != 3)
		return 2;
	lookups = atoi(argv[1]);
	rounds = atoi(argv[2]);
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "bench", sizeof(key), sizeof(value), ENTRIES, NULL);
	for (key = 0; key < ENTRIES; key++) {
		value = key;
		if (bpf_map_update_elem(fd, &key, &value, 0))
			return 1;
	}
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = fd;
	attr.key = (unsigned long)&key;
	attr.value = (unsigned long)&value;
	printf("{\"lookups\":%d,\"ns\":[", lookups);
	for (int i = 0; i < rounds; i++) {
		long long start = now();

		for (int n = 0; n < lookups; n++) {
			key = n % ENTRIES;
			if (syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, 32) || value != key)
				return 1;
		}
		printf(i ? ",%lld" : "%lld", now() - start);
	}
	printf("]}\n");
	return 0;
}
