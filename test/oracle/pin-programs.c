/*
 * Loads each program of an object alone with libbpf and pins those that the kernel accepts.
 * Usage: pin-programs OBJECT DIRECTORY   (of a bpf file system)
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Loads only program number `wanted`. Returns 0 when there is none with that number. */
static int load_one(const char *path, const char *directory, int wanted)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program, *chosen = NULL;
	char name[512];
	int i = 0;

	if (!object)
		return 0;
	bpf_object__for_each_program(program, object) {
		bpf_program__set_autoload(program, i == wanted);
		if (i++ == wanted)
			chosen = program;
	}
	if (chosen && !bpf_object__load(object)) {
		snprintf(name, sizeof(name), "%s/%d_%s", directory, wanted, bpf_program__name(chosen));
		for (char *c = name + strlen(directory); *c; c++)
			if (*c == '.')
				*c = '_';
		bpf_program__pin(chosen, name);
	}
	bpf_object__close(object);
	return chosen != NULL;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	libbpf_set_print(NULL);
	mkdir(argv[2], 0700);
	for (int i = 0; load_one(argv[1], argv[2], i); i++)
		;
	return 0;
}
