// Prints what libbpf 1.5 makes of BPF objects up to, but not including, the creation of anything in the kernel:
// the relocated instructions of every program, as JSON lines.
//
//   core-dump [--btf FILE] OBJECT...   or   core-dump - < list of objects, one a line
//
// libbpf has no public call that relocates without loading (bpf_object__prepare came in 1.6), so this file includes
// libbpf.c and runs the same steps as bpf_object_load(), in its order, as far as bpf_object__relocate(). Every program
// is made autoload, those of `?` sections too. When one program cannot be relocated libbpf gives up on the object; then
// each program is tried alone in a fresh copy of the object. Each object is handled in a process of its own.
//
// Lines, in this order for each object:
//   { obj, error: { stage, errno, message, messages } }     libbpf does not open it, or the process died
//   { obj, maps: [...], externs: [...], kconfig, license, kernVersion, error? }
//   { obj, prog, section, type, typeName, autoload,         one a program
//     error: { stage, errno, message, messages } }          not relocated; stage: externs, struct_ops, autoload, relocate
//   { obj, prog, section, type, typeName, autoload, attachType, attachTypeName, flags, attachBtfId, attachBtfObj,
//     attachError?,                                         why libbpf would not even ask the kernel to load it
//     single,                                               true: relocated with the other programs switched off
//     insns,                                                hex, 8 bytes an instruction, fds set to 0
//     refs: [{ insn, kind: map | mapvalue | btf, name, imm1 }],   what those fds were
//     funcInfo, funcInfoRecSize, funcInfoHex, lineInfo, lineInfoRecSize, lineInfoHex }
#include "libbpf.c"

#include <signal.h>
#include <sys/wait.h>

#define MAX_MESSAGES 16
#define TIME_LIMIT_SECONDS 60

static FILE *out;
static const char *obj_name;
static const char *btf_path;

static char *messages[MAX_MESSAGES];
static int message_cnt;

// Keeps the latest warnings: the last ones tell why a step failed.
static int keep_message(enum libbpf_print_level level, const char *format, va_list args)
{
	char *text;
	size_t len;

	if (level != LIBBPF_WARN || vasprintf(&text, format, args) < 0)
		return 0;
	len = strlen(text);
	while (len && text[len - 1] == '\n')
		text[--len] = 0;
	if (!strncmp(text, "libbpf: ", 8))
		memmove(text, text + 8, len - 7);
	if (message_cnt == MAX_MESSAGES) {
		free(messages[0]);
		memmove(messages, messages + 1, sizeof(messages) - sizeof(messages[0]));
		message_cnt--;
	}
	messages[message_cnt++] = text;
	return 0;
}

static void forget_messages(void)
{
	while (message_cnt)
		free(messages[--message_cnt]);
}

static void put_string(const char *s)
{
	fputc('"', out);
	for (; s && *s; s++) {
		unsigned char c = *s;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void put_hex(const char *key, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	fprintf(out, ",\"%s\":\"", key);
	for (size_t i = 0; i < len; i++) {
		fputc(digits[p[i] >> 4], out);
		fputc(digits[p[i] & 15], out);
	}
	fputc('"', out);
}

// The first message is the specific one; libbpf's callers add general ones after it.
static void put_error(const char *key, const char *stage, int err)
{
	fprintf(out, ",\"%s\":{\"stage\":\"%s\",\"errno\":%d,\"message\":", key, stage, err < 0 ? -err : err);
	put_string(message_cnt ? messages[0] : "");
	fputs(",\"messages\":[", out);
	for (int i = 0; i < message_cnt; i++) {
		if (i)
			fputc(',', out);
		put_string(messages[i]);
	}
	fputs("]}", out);
}

static void put_obj(void)
{
	fputs("{\"obj\":", out);
	put_string(obj_name);
}

static void put_map(const struct bpf_map *map)
{
	fputs("{\"name\":", out);
	put_string(bpf_map__name(map));
	fputs(",\"kernelName\":", out);
	put_string(map->name);
	if (map->real_name) {
		fputs(",\"section\":", out);
		put_string(map->real_name);
	}
	fprintf(out,
		",\"type\":%u,\"keySize\":%u,\"valueSize\":%u,\"maxEntries\":%u,\"flags\":%u,\"mapExtra\":\"%llu\","
		"\"numaNode\":%u,\"ifindex\":%d,\"btfKeyTypeId\":%u,\"btfValueTypeId\":%u,\"btfVmlinuxValueTypeId\":%u,"
		"\"autocreate\":%s",
		map->def.type, map->def.key_size, map->def.value_size, map->def.max_entries, map->def.map_flags,
		(unsigned long long)map->map_extra, map->numa_node, map->map_ifindex, map->btf_key_type_id,
		map->btf_value_type_id, map->btf_vmlinux_value_type_id, map->autocreate ? "true" : "false");
	if (map->pin_path) {
		fputs(",\"pinPath\":", out);
		put_string(map->pin_path);
	}
	if (map->init_slots_sz) {
		fputs(",\"slots\":[", out);
		for (int i = 0; i < map->init_slots_sz; i++) {
			if (i)
				fputc(',', out);
			if (!map->init_slots[i])
				fputs("null", out);
			else if (map->def.type == BPF_MAP_TYPE_PROG_ARRAY)
				put_string(((struct bpf_program *)map->init_slots[i])->name);
			else
				put_string(bpf_map__name(map->init_slots[i]));
		}
		fputc(']', out);
	}
	if (map->inner_map) {
		fputs(",\"inner\":", out);
		put_map(map->inner_map);
	}
	fputc('}', out);
}

static void put_object_line(const struct bpf_object *obj, const char *stage, int err)
{
	put_obj();
	fputs(",\"license\":", out);
	put_string(obj->license);
	fprintf(out, ",\"kernVersion\":%u,\"maps\":[", obj->kern_version);
	for (size_t i = 0; i < obj->nr_maps; i++) {
		if (i)
			fputc(',', out);
		put_map(&obj->maps[i]);
	}
	fputs("],\"externs\":[", out);
	for (int i = 0; i < obj->nr_extern; i++) {
		const struct extern_desc *ext = &obj->externs[i];

		fputs(i ? ",{\"name\":" : "{\"name\":", out);
		put_string(ext->name);
		fprintf(out, ",\"weak\":%s,\"found\":%s", ext->is_weak ? "true" : "false",
			ext->is_set ? "true" : "false");
		if (ext->type == EXT_KCFG)
			fprintf(out, ",\"kind\":\"kconfig\",\"offset\":%d,\"size\":%d}", ext->kcfg.data_off,
				ext->kcfg.sz);
		else if (ext->ksym.type_id)
			fprintf(out, ",\"kind\":\"ksym\",\"kernelBtfId\":%d}",
				ext->is_set ? ext->ksym.kernel_btf_id : 0);
		else
			fprintf(out, ",\"kind\":\"address\",\"address\":\"0x%llx\"}",
				ext->is_set ? ext->ksym.addr : 0);
	}
	fputc(']', out);
	if (obj->kconfig_map_idx >= 0) {
		const struct bpf_map *map = &obj->maps[obj->kconfig_map_idx];

		put_hex("kconfig", map->mmaped, map->def.value_size);
	}
	if (stage)
		put_error("error", stage, err);
	fputs("}\n", out);
}

static void put_prog_head(const struct bpf_program *prog, bool autoload)
{
	const char *name = libbpf_bpf_prog_type_str(prog->type);

	put_obj();
	fputs(",\"prog\":", out);
	put_string(prog->name);
	fputs(",\"section\":", out);
	put_string(prog->sec_name);
	fprintf(out, ",\"type\":%d,\"typeName\":\"%s\",\"autoload\":%s", prog->type, name ?: "",
		autoload ? "true" : "false");
}

static const char *btf_obj_name(const struct bpf_object *obj, int fd)
{
	for (size_t i = 0; i < obj->btf_module_cnt; i++)
		if (obj->btf_modules[i].fd == fd)
			return obj->btf_modules[i].name;
	return fd ? "?" : "vmlinux";
}

static const struct bpf_map *map_by_fd(const struct bpf_object *obj, int fd)
{
	for (size_t i = 0; i < obj->nr_maps; i++)
		if (obj->maps[i].fd == fd)
			return &obj->maps[i];
	return NULL;
}

// Prints the instructions with every file descriptor replaced by 0 and named in `refs`.
static void put_insns(const struct bpf_object *obj, const struct bpf_program *prog)
{
	struct bpf_insn *insns = malloc(prog->insns_cnt * sizeof(*insns) + 1);
	bool first = true;

	memcpy(insns, prog->insns, prog->insns_cnt * sizeof(*insns));
	fputs(",\"refs\":[", out);
	for (size_t i = 0; i + 1 < prog->insns_cnt; i++) {
		struct bpf_insn *insn = &insns[i];
		const char *kind = NULL, *name = NULL;

		if (insn->code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if (insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_VALUE) {
			const struct bpf_map *map = map_by_fd(obj, insn->imm);

			if (map) {
				kind = insn->src_reg == BPF_PSEUDO_MAP_FD ? "map" : "mapvalue";
				name = bpf_map__name(map);
				insn->imm = 0;
			}
		} else if (insn->src_reg == BPF_PSEUDO_BTF_ID) {
			kind = "btf";
			name = btf_obj_name(obj, insn[1].imm);
			insn[1].imm = 0;
		}
		if (kind) {
			fprintf(out, "%s{\"insn\":%zu,\"kind\":\"%s\",\"name\":", first ? "" : ",", i, kind);
			put_string(name);
			fprintf(out, ",\"imm1\":%d}", insn[1].imm);
			first = false;
		}
		i++;
	}
	fputc(']', out);
	put_hex("insns", insns, prog->insns_cnt * sizeof(*insns));
	free(insns);
}

// What bpf_object_load_prog() works out before it calls the kernel.
static void put_attach(struct bpf_object *obj, struct bpf_program *prog)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	const char *name;
	int err = 0;

	forget_messages();
	opts.attach_btf_obj_fd = prog->attach_btf_obj_fd;
	opts.attach_btf_id = prog->attach_btf_id;
	opts.expected_attach_type = prog->expected_attach_type;
	opts.prog_flags = prog->prog_flags;
	if (prog->type == BPF_PROG_TYPE_UNSPEC) {
		pr_warn("prog '%s': missing BPF prog type, check ELF section name '%s'\n", prog->name, prog->sec_name);
		err = -EINVAL;
	} else if (prog->type == BPF_PROG_TYPE_STRUCT_OPS && !prog->attach_btf_id) {
		pr_warn("prog '%s': struct_ops program is not referenced by a map\n", prog->name);
		err = -EINVAL;
	} else if (prog->sec_def && prog->sec_def->prog_prepare_load_fn) {
		err = prog->sec_def->prog_prepare_load_fn(prog, &opts, prog->sec_def->cookie);
	}
	name = libbpf_bpf_attach_type_str(opts.expected_attach_type);
	fprintf(out, ",\"attachType\":%d,\"attachTypeName\":\"%s\",\"flags\":%u,\"attachBtfId\":%u,\"attachBtfObj\":",
		opts.expected_attach_type, name ?: "", opts.prog_flags, opts.attach_btf_id);
	put_string(opts.attach_btf_id ? btf_obj_name(obj, opts.attach_btf_obj_fd) : "");
	if (err)
		put_error("attachError", "attach", err);
}

static void put_prog(struct bpf_object *obj, struct bpf_program *prog, bool autoload, bool single)
{
	bpf_object__sanitize_prog(obj, prog);
	put_prog_head(prog, autoload);
	if (!prog->autoload) {
		put_error("error", "autoload", 0);
	} else {
		put_attach(obj, prog);
		fprintf(out, ",\"single\":%s", single ? "true" : "false");
		put_insns(obj, prog);
		fprintf(out, ",\"funcInfo\":%u,\"funcInfoRecSize\":%u", prog->func_info_cnt, prog->func_info_rec_size);
		put_hex("funcInfoHex", prog->func_info, (size_t)prog->func_info_cnt * prog->func_info_rec_size);
		fprintf(out, ",\"lineInfo\":%u,\"lineInfoRecSize\":%u", prog->line_info_cnt, prog->line_info_rec_size);
		put_hex("lineInfoHex", prog->line_info, (size_t)prog->line_info_cnt * prog->line_info_rec_size);
	}
	fputs("}\n", out);
}

// Steps of bpf_object_load() before it creates maps; sets *stage to the failing one.
static int relocate(struct bpf_object *obj, const char **stage)
{
	int err;

	*stage = "prepare";
	err = bpf_object__probe_loading(obj);
	err = err ?: bpf_object__load_vmlinux_btf(obj, false);
	if (err)
		return err;
	*stage = "externs";
	err = bpf_object__resolve_externs(obj, obj->kconfig);
	if (err)
		return err;
	*stage = "struct_ops";
	err = bpf_object__sanitize_maps(obj);
	err = err ?: bpf_object__init_kern_struct_ops_maps(obj);
	err = err ?: bpf_object_adjust_struct_ops_autoload(obj);
	if (err)
		return err;
	*stage = "relocate";
	return bpf_object__relocate(obj, obj->btf_custom_path);
}

static struct bpf_object *open_object(const char *path, int *err)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = btf_path);
	struct bpf_object *obj = bpf_object__open_file(path, &opts);

	*err = obj ? 0 : -errno;
	return obj;
}

// Relocates program number `index` only.
static void single_program(const char *path, size_t index, bool autoload)
{
	struct bpf_program *prog;
	struct bpf_object *obj;
	const char *stage;
	size_t i = 0;
	int err;

	forget_messages();
	obj = open_object(path, &err);
	if (!obj)
		return;
	bpf_object__for_each_program(prog, obj)
		prog->autoload = i++ == index;
	err = relocate(obj, &stage);
	i = 0;
	bpf_object__for_each_program(prog, obj) {
		if (i++ != index)
			continue;
		if (err) {
			put_prog_head(prog, autoload);
			put_error("error", stage, err);
			fputs("}\n", out);
		} else {
			put_prog(obj, prog, autoload, true);
		}
	}
	bpf_object__close(obj);
}

static void one_object(const char *path)
{
	struct bpf_program *prog;
	struct bpf_object *obj;
	const char *stage;
	bool *autoload;
	size_t i;
	int err;

	obj = open_object(path, &err);
	if (!obj) {
		put_obj();
		put_error("error", "open", err);
		fputs("}\n", out);
		return;
	}
	autoload = calloc(obj->nr_programs + 1, sizeof(*autoload));
	i = 0;
	bpf_object__for_each_program(prog, obj) {
		autoload[i++] = prog->autoload;
		prog->autoload = true;
	}
	err = relocate(obj, &stage);
	put_object_line(obj, err ? stage : NULL, err);
	i = 0;
	if (!err) {
		bpf_object__for_each_program(prog, obj)
			put_prog(obj, prog, autoload[i++], false);
	} else if (strcmp(stage, "relocate")) {
		bpf_object__for_each_program(prog, obj) {
			put_prog_head(prog, autoload[i++]);
			put_error("error", stage, err);
			fputs("}\n", out);
		}
	} else {
		bpf_object__for_each_program(prog, obj) {
			single_program(path, i, autoload[i]);
			i++;
		}
	}
}

static void in_child(const char *path)
{
	const char *slash = strrchr(path, '/');
	int status;
	pid_t pid;

	obj_name = slash ? slash + 1 : path;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		alarm(TIME_LIMIT_SECONDS);
		// Written at once at the end: a process that dies leaves no half of an answer.
		char *text;
		size_t len;

		out = open_memstream(&text, &len);
		one_object(path);
		fclose(out);
		fwrite(text, 1, len, stdout);
		fflush(stdout);
		_exit(0);
	}
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	out = stdout;
	put_obj();
	fprintf(out, ",\"error\":{\"stage\":\"crash\",\"errno\":0,\"message\":\"signal %d\",\"messages\":[]}}\n",
		pid > 0 && WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int main(int argc, char **argv)
{
	char line[PATH_MAX];
	int i = 1;

	libbpf_set_print(keep_message);
	if (i + 1 < argc && !strcmp(argv[i], "--btf")) {
		btf_path = argv[i + 1];
		i += 2;
	}
	if (i < argc && !strcmp(argv[i], "-")) {
		while (fgets(line, sizeof(line), stdin)) {
			line[strcspn(line, "\n")] = 0;
			if (line[0])
				in_child(line);
		}
		return 0;
	}
	for (; i < argc; i++)
		in_child(argv[i]);
	return 0;
}
