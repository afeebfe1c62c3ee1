// Stands between test_verifier.c of the selftests and libbpf: every program that the table test loads is described as a
// JSON line, together with the kernel's answer. Linked with --wrap for the three calls below and for those that would
// load the test module.
//
//   table-dump > table-dump.jsonl        (as root; what the test itself prints goes to stderr)
//
// A line: { prog, type, attachType, attachBtfId, flags, insns, maps, btf, funcInfo, ok, errno, lastLogLine, log }
//   prog: the test's number and name; insns: the instructions in hexadecimal, with map file descriptors in place
//   maps: { fd, type, keySize, valueSize, maxEntries, flags, valueTypeId, btf, inner }; btf: raw BTF in hexadecimal or ""
//   funcInfo: pairs of instruction and type; log: the first and last part of the log when it is long
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FDS 1024
#define MAX_LOG 60000
/* Size of the test's own log buffer: other loads are probes. */
#define TEST_LOG_SIZE (UINT_MAX >> 8)

struct blob {
	void *data;
	size_t size;
};

struct map {
	bool used;
	int type, inner;
	unsigned int key_size, value_size, max_entries, flags, value_type_id;
	struct blob btf;
};

static struct map maps[MAX_FDS];
static struct blob btfs[MAX_FDS];
static char test_name[256];
static FILE *out;

int __real_bpf_prog_load(enum bpf_prog_type type, const char *name, const char *license, const struct bpf_insn *insns,
			 size_t count, struct bpf_prog_load_opts *opts);
int __real_bpf_map_create(enum bpf_map_type type, const char *name, __u32 key_size, __u32 value_size,
			  __u32 max_entries, const struct bpf_map_create_opts *opts);
int __real_bpf_btf_load(const void *data, size_t size, struct bpf_btf_load_opts *opts);

int __wrap_load_bpf_testmod(bool verbose)
{
	(void)verbose;
	return 0;
}

int __wrap_unload_bpf_testmod(bool verbose)
{
	(void)verbose;
	return 0;
}

static void copy_blob(struct blob *to, const void *data, size_t size)
{
	to->data = malloc(size);
	to->size = size;
	memcpy(to->data, data, size);
}

int __wrap_bpf_btf_load(const void *data, size_t size, struct bpf_btf_load_opts *opts)
{
	int fd = __real_bpf_btf_load(data, size, opts);

	if (fd >= 0 && fd < MAX_FDS)
		copy_blob(&btfs[fd], data, size);
	return fd;
}

int __wrap_bpf_map_create(enum bpf_map_type type, const char *name, __u32 key_size, __u32 value_size,
			  __u32 max_entries, const struct bpf_map_create_opts *opts)
{
	int fd = __real_bpf_map_create(type, name, key_size, value_size, max_entries, opts);
	struct map *map;

	if (fd < 0 || fd >= MAX_FDS)
		return fd;
	map = &maps[fd];
	memset(map, 0, sizeof(*map));
	map->used = true;
	map->type = type;
	map->key_size = key_size;
	map->value_size = value_size;
	map->max_entries = max_entries;
	if (!opts)
		return fd;
	map->flags = opts->map_flags;
	map->value_type_id = opts->btf_value_type_id;
	if (opts->btf_fd > 0 && opts->btf_fd < MAX_FDS)
		map->btf = btfs[opts->btf_fd];
	/* The file descriptor of the inner map is closed, and used again, before the program is loaded. */
	if (opts->inner_map_fd > 0 && opts->inner_map_fd < MAX_FDS) {
		maps[MAX_FDS - 1] = maps[opts->inner_map_fd];
		map->inner = MAX_FDS - 1;
	}
	return fd;
}

static void put_hex(const void *data, size_t size)
{
	const unsigned char *bytes = data;

	fputc('"', out);
	for (size_t i = 0; i < size; i++)
		fprintf(out, "%02x", bytes[i]);
	fputc('"', out);
}

static void put_string(const char *text, size_t size)
{
	fputc('"', out);
	for (size_t i = 0; i < size && text[i]; i++) {
		unsigned char c = text[i];

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c < 32 || c > 126)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void put_map(int fd, const struct map *map)
{
	fprintf(out, "{\"fd\":%d,\"type\":%d,\"keySize\":%u,\"valueSize\":%u,\"maxEntries\":%u,\"flags\":%u,", fd, map->type,
		map->key_size, map->value_size, map->max_entries, map->flags);
	fprintf(out, "\"valueTypeId\":%u,\"btf\":", map->value_type_id);
	put_hex(map->btf.data, map->btf.size);
	fputs(",\"inner\":", out);
	if (map->inner)
		put_map(0, &maps[map->inner]);
	else
		fputs("null", out);
	fputc('}', out);
}

/* The last line before the statistics. */
static void put_last_line(const char *log)
{
	const char *end = strstr(log, "verification time "), *start;

	if (!end)
		end = strstr(log, "processed ");
	if (!end)
		end = log + strlen(log);
	while (end > log && end[-1] == '\n')
		end--;
	for (start = end; start > log && start[-1] != '\n';)
		start--;
	put_string(start, end - start);
}

int __wrap_bpf_prog_load(enum bpf_prog_type type, const char *name, const char *license, const struct bpf_insn *insns,
			 size_t count, struct bpf_prog_load_opts *opts)
{
	int fd = __real_bpf_prog_load(type, name, license, insns, count, opts), error = errno;
	const struct bpf_func_info *info;
	bool seen[MAX_FDS] = {}, first = true;

	if (!opts || opts->log_size != TEST_LOG_SIZE)
		return fd;
	fputs("{\"prog\":", out);
	put_string(test_name, sizeof(test_name));
	fprintf(out, ",\"type\":%d,\"attachType\":%d,\"attachBtfId\":%u,\"flags\":%u,\"insns\":", type,
		opts->expected_attach_type, opts->attach_btf_id, opts->prog_flags);
	put_hex(insns, count * sizeof(*insns));
	fputs(",\"maps\":[", out);
	for (size_t i = 0; i < count; i++) {
		int map_fd = insns[i].imm;

		if (insns[i].code != (BPF_LD | BPF_IMM | BPF_DW) || insns[i].src_reg != BPF_PSEUDO_MAP_FD)
			if (insns[i].code != (BPF_LD | BPF_IMM | BPF_DW) || insns[i].src_reg != BPF_PSEUDO_MAP_VALUE)
				continue;
		if (map_fd < 0 || map_fd >= MAX_FDS || seen[map_fd] || !maps[map_fd].used)
			continue;
		seen[map_fd] = true;
		if (!first)
			fputc(',', out);
		first = false;
		put_map(map_fd, &maps[map_fd]);
	}
	fputs("],\"btf\":", out);
	if (opts->prog_btf_fd > 0 && opts->prog_btf_fd < MAX_FDS)
		put_hex(btfs[opts->prog_btf_fd].data, btfs[opts->prog_btf_fd].size);
	else
		fputs("\"\"", out);
	fputs(",\"funcInfo\":[", out);
	info = opts->func_info;
	for (unsigned int i = 0; i < opts->func_info_cnt; i++)
		fprintf(out, "%s[%u,%u]", i ? "," : "", info[i].insn_off, info[i].type_id);
	fprintf(out, "],\"ok\":%s,\"errno\":%d,\"lastLogLine\":", fd >= 0 ? "true" : "false", fd >= 0 ? 0 : error);
	put_last_line(opts->log_buf);
	fputs(",\"log\":", out);
	put_string(opts->log_buf, MAX_LOG);
	fputs("}\n", out);
	fflush(out);
	errno = error;
	return fd;
}

/* The test prints "#12/p name " before each load. */
int __wrap_printf(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	if (!strcmp(format, "#%d/p %s ")) {
		int number = va_arg(list, int);

		snprintf(test_name, sizeof(test_name), "%d %s", number, va_arg(list, const char *));
	}
	va_end(list);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	return 0;
}

__attribute__((constructor)) static void take_stdout(void)
{
	out = fdopen(dup(STDOUT_FILENO), "w");
	dup2(STDERR_FILENO, STDOUT_FILENO);
}
