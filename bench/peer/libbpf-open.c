// libbpf doing what `bench-open-relocate` asks of elfbee, with every sample printed as JSON.
//
//   libbpf-open [--cold] [--rounds N] btf [FILE]
//       btf__parse() of FILE (default /sys/kernel/btf/vmlinux), then the first btf__find_by_name_kind(): task_struct.
//       { libbpf, what: "btf", file, fileBytes, types, typeId, parseNs, lookupNs, totalNs, rssGrowthBytes }
//       rssGrowthBytes: growth of the resident set over the first round.
//   libbpf-open [--cold] [--rounds N] object FILE
//       bpf_object__open_file(), then bpf_object__load() as far as the first BPF_PROG_LOAD of a program of the object:
//       by then vmlinux BTF is read and every CO-RE, map, call and data relocation is applied.
//       { libbpf, what: "object", file, fileBytes, programs, insns, openNs, relocateNs, totalNs, rssGrowthBytes }
//
// One round before the counted ones is not printed: it pays for libbpf's cached feature probes, page faults and the
// page cache. With --cold there is no such round, so that the first one of a fresh process is printed. All times in ns of CLOCK_MONOTONIC.
//
// Nothing of the object reaches the kernel: bpf(2) calls that would create its BTF, maps or programs are answered here
// (libbpf makes them through syscall(), which this file defines). The rest, such as the search for module BTF, is real.
#define _GNU_SOURCE
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Feature probes are shorter than this: they go to the kernel.
#define MAX_PROBE_INSNS 8
#define MAX_PROBE_BTF 256

static bool intercept;
static int first_round = -1;
static long long first_prog_load;
static unsigned long long insns;
static unsigned programs;

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int stand_in_fd(void)
{
	int fd = memfd_create("libbpf-open", MFD_CLOEXEC);

	// Large enough for the mmap() of global data.
	if (fd >= 0 && ftruncate(fd, 64 << 20))
		perror("libbpf-open: ftruncate");
	return fd;
}

// Found by libbpf before the one in libc, whether libbpf is linked statically or not.
long syscall(long number, ...)
{
	static long (*real)(long, ...);
	union bpf_attr *attr;
	long a[6], ret;
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if (number != SYS_bpf || !intercept)
		return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	attr = (union bpf_attr *)a[1];
	switch ((int)a[0]) {
	case BPF_PROG_LOAD:
		if (attr->insn_cnt <= MAX_PROBE_INSNS) {
			ret = real(number, a[0], a[1], a[2]);
			// Without the right to load, pretend: the relocation is what is measured.
			return ret < 0 && errno == EPERM ? stand_in_fd() : ret;
		}
		if (!first_prog_load)
			first_prog_load = now();
		programs++;
		insns += attr->insn_cnt;
		return stand_in_fd();
	case BPF_BTF_LOAD:
		if (attr->btf_size < MAX_PROBE_BTF)
			return real(number, a[0], a[1], a[2]);
		return stand_in_fd();
	case BPF_MAP_CREATE:
		return stand_in_fd();
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_FREEZE:
	case BPF_PROG_BIND_MAP:
		return 0;
	default:
		return real(number, a[0], a[1], a[2]);
	}
}

static long long resident_bytes(void)
{
	long long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f) {
		if (fscanf(f, "%lld %lld", &size, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	return resident * sysconf(_SC_PAGESIZE);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

static void put_samples(const char *key, const long long *samples, int n)
{
	printf(",\"%s\":[", key);
	for (int i = 0; i < n; i++)
		printf(i ? ",%lld" : "%lld", samples[i]);
	putchar(']');
}

static void put_head(const char *what, const char *file)
{
	struct stat st = {};

	stat(file, &st);
	printf("{\"libbpf\":\"%s\",\"what\":\"%s\",\"file\":\"%s\",\"fileBytes\":%lld", libbpf_version_string() + 1, what,
	       file, (long long)st.st_size);
}

static int bench_btf(const char *file, int rounds)
{
	long long *parse = calloc(rounds, sizeof(*parse)), *lookup = calloc(rounds, sizeof(*lookup));
	long long *total = calloc(rounds, sizeof(*total)), start, parsed, found, growth = 0;
	unsigned types = 0;
	int id = 0;

	for (int i = first_round; i < rounds; i++) {
		long long before = resident_bytes();
		struct btf *btf;

		start = now();
		btf = btf__parse(file, NULL);
		if (!btf) {
			perror(file);
			return 1;
		}
		parsed = now();
		id = btf__find_by_name_kind(btf, "task_struct", BTF_KIND_STRUCT);
		found = now();
		types = btf__type_cnt(btf);
		if (i == first_round)
			growth = resident_bytes() - before;
		if (i >= 0) {
			parse[i] = parsed - start;
			lookup[i] = found - parsed;
			total[i] = found - start;
		}
		btf__free(btf);
	}
	put_head("btf", file);
	printf(",\"types\":%u,\"typeId\":%d", types, id);
	put_samples("parseNs", parse, rounds);
	put_samples("lookupNs", lookup, rounds);
	put_samples("totalNs", total, rounds);
	printf(",\"rssGrowthBytes\":%lld}\n", growth);
	return id < 0;
}

static int bench_object(const char *file, int rounds)
{
	long long *open_ns = calloc(rounds, sizeof(*open_ns)), *relocate = calloc(rounds, sizeof(*relocate));
	long long *total = calloc(rounds, sizeof(*total)), start, opened, growth = 0;

	for (int i = first_round; i < rounds; i++) {
		long long before = resident_bytes();
		struct bpf_object *obj;
		int err;

		intercept = true;
		first_prog_load = 0;
		programs = 0;
		insns = 0;
		start = now();
		obj = bpf_object__open_file(file, NULL);
		if (!obj) {
			perror(file);
			return 1;
		}
		opened = now();
		err = bpf_object__load(obj);
		if (err || !first_prog_load) {
			fprintf(stderr, "%s: libbpf does not relocate it: %d\n", file, err);
			return 1;
		}
		if (i == first_round)
			growth = resident_bytes() - before;
		if (i >= 0) {
			open_ns[i] = opened - start;
			relocate[i] = first_prog_load - opened;
			total[i] = first_prog_load - start;
		}
		bpf_object__close(obj);
		intercept = false;
	}
	put_head("object", file);
	printf(",\"programs\":%u,\"insns\":%llu", programs, insns);
	put_samples("openNs", open_ns, rounds);
	put_samples("relocateNs", relocate, rounds);
	put_samples("totalNs", total, rounds);
	printf(",\"rssGrowthBytes\":%lld}\n", growth);
	return 0;
}

int main(int argc, char **argv)
{
	int rounds = 20, i = 1;

	libbpf_set_print(quiet);
	if (i < argc && !strcmp(argv[i], "--cold")) {
		first_round = 0;
		i++;
	}
	if (i + 1 < argc && !strcmp(argv[i], "--rounds")) {
		rounds = atoi(argv[i + 1]);
		i += 2;
	}
	if (rounds > 0 && i < argc && !strcmp(argv[i], "btf"))
		return bench_btf(i + 1 < argc ? argv[i + 1] : "/sys/kernel/btf/vmlinux", rounds);
	if (rounds > 0 && i + 1 < argc && !strcmp(argv[i], "object"))
		return bench_object(argv[i + 1], rounds);
	fprintf(stderr, "usage: libbpf-open [--cold] [--rounds N] btf [FILE] | object FILE\n");
	return 2;
}
