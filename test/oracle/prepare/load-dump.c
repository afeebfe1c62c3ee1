// Asks the running kernel, through libbpf, which programs of BPF objects it accepts. Prints JSON lines.
//
//   load-dump [--log LEVEL DIRECTORY] [--caps N,N...] OBJECT...   or   ... - < list, one a line
//
// A line of the list: OBJECT, or OBJECT PROGRAM for one of its programs, or OBJECT PROGRAM TARGET_OBJECT TARGET_PROGRAM
// FUNCTION for one that attaches to a function of another program, which is loaded first ("-" for no function).
// With --caps the kernel is asked with these capabilities only (numbers of <linux/capability.h>).
// With --log the verifier's log at that level (a sum of 1 or 2 for its detail and 4 for statistics) goes to
// DIRECTORY/OBJECT/PROGRAM.log, or the last 64 KiB of it to PROGRAM.tail when it is longer than 1 MiB; a program that the
// verifier did not see leaves no file.
//
// Every program is tried alone: a fresh copy of the object is opened, only this program is autoload, its maps are
// created and it is loaded; nothing is attached and nothing is run. Each try happens in a process of its own with a
// time limit and with an empty bpffs mounted at /sys/fs/bpf, so that maps pinned by name neither meet nor stay.
//
// Lines:
//   { obj, ok: false, stage: "open", errno, message }          libbpf does not open the object
//   { obj, prog, section, ok, errno, stage, message, lastLogLine }
//     stage: open | prepare (externs, relocation, BTF, maps) | load (the kernel was asked) | timeout | crash
//       | slots: the kernel took the program (ok: true), then libbpf gave up on the object because a static slot of a
//         program array names a program that was switched off
//     message: libbpf's first warning; lastLogLine: the verifier's last line before its statistics
#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIME_LIMIT_SECONDS 60

#define LOG_BUFFER (32u << 20)
#define LOG_KEPT (1u << 20)
#define LOG_TAIL (64u << 10)

static int log_level;
static const char *log_directory;
static char *log_buffer;
static char first_warning[512];
static char last_log_line[512];
static bool kernel_was_asked;
static bool slots_failed;
static const char *capabilities;

// What a line of the list asks for beyond the object; all NULL for all of its programs.
struct choice {
	const char *prog, *target_object, *target_prog, *function;
};

static void copy_line(char *to, size_t size, const char *from, size_t len)
{
	if (len >= size)
		len = size - 1;
	memcpy(to, from, len);
	to[len] = 0;
}

// The verifier's log ends with statistics ("processed 12 insns ..."), the line before them is the complaint.
static void keep_log_line(const char *log, const char *end)
{
	while (end > log) {
		const char *start = end;

		while (start > log && start[-1] != '\n')
			start--;
		if (end > start && strncmp(start, "processed ", 10) && strncmp(start, "verification time", 17) &&
		    strncmp(start, "stack depth", 11)) {
			copy_line(last_log_line, sizeof(last_log_line), start, end - start);
			return;
		}
		end = start > log ? start - 1 : log;
	}
}

static int keep_message(enum libbpf_print_level level, const char *format, va_list args)
{
	char *text, *begin, *end;

	if (level != LIBBPF_WARN || vasprintf(&text, format, args) < 0)
		return 0;
	if (strstr(text, "BPF program load failed"))
		kernel_was_asked = true;
	if (strstr(text, "failed to initialize slot") && strstr(text, " to prog '"))
		slots_failed = true;
	begin = strstr(text, "-- BEGIN PROG LOAD LOG --\n");
	end = strstr(text, "-- END PROG LOAD LOG --");
	if (begin && end) {
		keep_log_line(begin + strlen("-- BEGIN PROG LOAD LOG --\n"), end - 1);
	} else if (!first_warning[0]) {
		begin = strncmp(text, "libbpf: ", 8) ? text : text + 8;
		copy_line(first_warning, sizeof(first_warning), begin, strcspn(begin, "\n"));
	}
	free(text);
	return 0;
}

static void put_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		unsigned char c = *s;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void put_result(const char *path, const char *prog, const char *section, const char *stage, int err)
{
	bool ok = !strcmp(stage, "slots") || (!strcmp(stage, "load") && !err);

	fputs("{\"obj\":", stdout);
	put_string(base_name(path));
	if (prog) {
		fputs(",\"prog\":", stdout);
		put_string(prog);
		fputs(",\"section\":", stdout);
		put_string(section);
	}
	printf(",\"ok\":%s,\"errno\":%d,\"stage\":\"%s\",\"message\":", ok ? "true" : "false", err < 0 ? -err : err,
	       stage);
	put_string(first_warning);
	fputs(",\"lastLogLine\":", stdout);
	put_string(last_log_line);
	puts("}");
	fflush(stdout);
}

// In a mount namespace of this process only: everything mounted here ends with it.
static void private_bpffs(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL)) {
		perror("load-dump: private bpffs");
		_exit(2);
	}
}

// Gives up all capabilities but the chosen ones.
static void keep_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};
	const char *at = capabilities;
	char *end;

	while (at && *at) {
		unsigned long bit = strtoul(at, &end, 10);

		if (end == at || bit > 63)
			break;
		data[bit / 32].effective |= 1u << (bit % 32);
		data[bit / 32].permitted |= 1u << (bit % 32);
		at = *end == ',' ? end + 1 : end;
	}
	if (capabilities && syscall(SYS_capset, &header, data)) {
		perror("load-dump: capset");
		_exit(2);
	}
}

// Loads the program that another one attaches to; its descriptor, or -1.
static int load_target(const struct choice *choice)
{
	struct bpf_object *obj = bpf_object__open_file(choice->target_object, NULL);
	struct bpf_program *prog;

	if (!obj)
		return -1;
	bpf_object__for_each_program(prog, obj)
		bpf_program__set_autoload(prog, !strcmp(bpf_program__name(prog), choice->target_prog));
	if (bpf_object__load(obj))
		return -1;
	prog = bpf_object__find_program_by_name(obj, choice->target_prog);
	return prog ? bpf_program__fd(prog) : -1;
}

static void keep_log(const char *path, const char *prog)
{
	char name[PATH_MAX];
	size_t len = strlen(log_buffer);
	FILE *file;

	if (!len)
		return;
	snprintf(name, sizeof(name), "%s/%s", log_directory, base_name(path));
	mkdir(name, 0755);
	snprintf(name, sizeof(name), "%s/%s/%s.%s", log_directory, base_name(path), prog, len > LOG_KEPT ? "tail" : "log");
	file = fopen(name, "w");
	if (!file) {
		perror(name);
		_exit(2);
	}
	fputs(len > LOG_KEPT ? log_buffer + len - LOG_TAIL : log_buffer, file);
	fclose(file);
}

// Runs in the child: tries program number `index`; its verdict goes to stdout.
static void try_program(const char *path, int index, const struct choice *choice)
{
	struct bpf_program *prog, *chosen = NULL;
	struct bpf_object *obj;
	int err, i = 0;

	alarm(TIME_LIMIT_SECONDS);
	private_bpffs();
	obj = bpf_object__open_file(path, NULL);
	if (!obj)
		_exit(2);
	bpf_object__for_each_program(prog, obj) {
		bpf_program__set_autoload(prog, i == index);
		if (i++ == index)
			chosen = prog;
	}
	if (choice->target_object) {
		const char *function = strcmp(choice->function, "-") ? choice->function : NULL;

		err = bpf_program__set_attach_target(chosen, load_target(choice), function);
		kernel_was_asked = false;
		first_warning[0] = last_log_line[0] = 0;
		if (err) {
			put_result(path, bpf_program__name(chosen), bpf_program__section_name(chosen), "target", err);
			_exit(0);
		}
	}
	if (log_level) {
		log_buffer = calloc(1, LOG_BUFFER);
		if (!log_buffer)
			_exit(2);
		bpf_program__set_log_buf(chosen, log_buffer, LOG_BUFFER);
		bpf_program__set_log_level(chosen, log_level);
	}
	keep_capabilities();
	err = bpf_object__load(obj);
	if (log_level)
		keep_log(path, bpf_program__name(chosen));
	if (!err && bpf_program__fd(chosen) < 0) {
		// A struct_ops program whose map is not created is switched off again.
		put_result(path, bpf_program__name(chosen), bpf_program__section_name(chosen), "prepare", 0);
	} else {
		put_result(path, bpf_program__name(chosen), bpf_program__section_name(chosen),
			   slots_failed ? "slots" : !err || kernel_was_asked ? "load" : "prepare", err);
	}
	bpf_object__close(obj);
	_exit(0);
}

static void one_object(const char *path, const struct choice *choice)
{
	struct bpf_program *prog;
	struct bpf_object *obj;
	int index = 0, status;
	pid_t pid;

	first_warning[0] = last_log_line[0] = 0;
	obj = bpf_object__open_file(path, NULL);
	if (!obj) {
		put_result(path, NULL, NULL, "open", errno);
		return;
	}
	first_warning[0] = 0;
	bpf_object__for_each_program(prog, obj) {
		if (choice->prog && strcmp(choice->prog, bpf_program__name(prog))) {
			index++;
			continue;
		}
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			try_program(path, index, choice);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status)) {
			bool late = pid > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;

			put_result(path, bpf_program__name(prog), bpf_program__section_name(prog),
				   late ? "timeout" : "crash", 0);
		}
		index++;
	}
	bpf_object__close(obj);
}

static void one_line(char *line)
{
	struct choice choice = {};
	char *path = strtok(line, " \n");

	if (!path)
		return;
	choice.prog = strtok(NULL, " \n");
	choice.target_object = strtok(NULL, " \n");
	choice.target_prog = strtok(NULL, " \n");
	choice.function = strtok(NULL, " \n");
	if (choice.target_object && !choice.function) {
		fprintf(stderr, "load-dump: a target takes an object, a program and a function\n");
		exit(2);
	}
	one_object(path, &choice);
}

int main(int argc, char **argv)
{
	struct choice all = {};
	char line[PATH_MAX];
	int i = 1;

	libbpf_set_print(keep_message);
	if (i + 2 < argc && !strcmp(argv[i], "--log")) {
		log_level = atoi(argv[i + 1]);
		log_directory = argv[i + 2];
		i += 3;
	}
	if (i + 1 < argc && !strcmp(argv[i], "--caps")) {
		capabilities = argv[i + 1];
		i += 2;
	}
	if (i + 1 == argc && !strcmp(argv[i], "-")) {
		while (fgets(line, sizeof(line), stdin))
			one_line(line);
		return 0;
	}
	for (; i < argc; i++)
		one_object(argv[i], &all);
	return 0;
}
