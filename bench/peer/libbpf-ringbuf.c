// libbpf doing what `bench-ringbuf` asks of elfbee: draining a ring buffer of 16-byte records with a callback.
//
//   libbpf-ringbuf OBJECT RECORDS ROUNDS
//
// OBJECT is test/kernel/links/objects/events.bpf.o, whose program write_ring writes as many records as the packet says.
// Each round writes RECORDS of them and times one ring_buffer__consume(). Prints { libbpf, records, ns: [...] }.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct event {
	unsigned number, size;
	unsigned long long sum;
};

static unsigned long long sum;

static int on_event(void *ctx, void *data, size_t size)
{
	const struct event *event = data;

	sum += event->number;
	return 0;
}

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

int main(int argc, char **argv)
{
	unsigned packet[16] = {};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));
	struct bpf_object *object;
	struct bpf_program *write;
	struct ring_buffer *ring;
	struct bpf_map *map;
	int records, rounds;

	if (argc != 4)
		return 2;
	libbpf_set_print(quiet);
	records = packet[0] = atoi(argv[2]);
	rounds = atoi(argv[3]);
	object = bpf_object__open_file(argv[1], NULL);
	map = object ? bpf_object__find_map_by_name(object, "events") : NULL;
	// libbpf 1.5 passes declared value types on, which the kernel refuses for ring buffers.
	if (!map || bpf_map__set_max_entries(map, 32 << 20) || bpf_map__set_value_size(map, 0) ||
	    bpf_map__set_value_size(bpf_object__find_map_by_name(object, "commands"), 0) || bpf_object__load(object)) {
		perror(argv[1]);
		return 1;
	}
	write = bpf_object__find_program_by_name(object, "write_ring");
	ring = ring_buffer__new(bpf_map__fd(map), on_event, NULL, NULL);
	if (!ring || !write)
		return 1;
	printf("{\"libbpf\":\"%s\",\"records\":%d,\"ns\":[", libbpf_version_string() + 1, records);
	for (int i = 0; i < rounds; i++) {
		long long start;

		if (bpf_prog_test_run_opts(bpf_program__fd(write), &run))
			return 1;
		start = now();
		if (ring_buffer__consume(ring) != records)
			return 1;
		printf(i ? ",%lld" : "%lld", now() - start);
	}
	printf("],\"sum\":%llu}\n", sum);
	return 0;
}
