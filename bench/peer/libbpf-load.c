// libbpf doing what `bench-load` asks of elfbee: opening and loading an object into the kernel.
//
//   libbpf-load OBJECT ROUNDS
//
// Prints { libbpf, programs, ns: [...] }: time of bpf_object__open_file() and bpf_object__load(), round by round.
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	int programs = 0;

	if (argc != 3)
		return 2;
	printf("{\"libbpf\":\"%s\",\"ns\":[", libbpf_version_string() + 1);
	for (int i = 0; i < atoi(argv[2]); i++) {
		long long start = now();
		struct bpf_object *object = bpf_object__open_file(argv[1], NULL);
		struct bpf_program *program;

		if (!object || bpf_object__load(object)) {
			perror(argv[1]);
			return 1;
		}
		printf(i ? ",%lld" : "%lld", now() - start);
		programs = 0;
		bpf_object__for_each_program(program, object)
			programs++;
		bpf_object__close(object);
	}
	printf("],\"programs\":%d}\n", programs);
	return 0;
}
