/*
 * Prints BPF instructions with the kernel's own printer (kernel/bpf/disasm.c, compiled in from the kernel source
 * package), given the names that bpftool would give a program that was not compiled by a JIT.
 *
 * stdin: blocks of a 32-bit length in bytes and that many bytes of instructions (both little-endian).
 * stdout: one line an instruction, numbered as bpftool does, and a line "." after each block.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/bpf.h>
#include "disasm.h"

static char text[128];

static void print(void *data, const char *format, ...)
{
	va_list args;

	(void)data;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

static const char *name_of_call(void *data, const struct bpf_insn *insn)
{
	(void)data;
	if (insn->src_reg == BPF_PSEUDO_CALL)
		snprintf(text, sizeof(text), "%+d", insn->off);
	else
		snprintf(text, sizeof(text), "0x%lx", (unsigned long)(long)insn->imm);
	return text;
}

static const char *name_of_imm(void *data, const struct bpf_insn *insn, __u64 whole)
{
	(void)data;
	switch (insn->src_reg) {
	case BPF_PSEUDO_MAP_FD:
		snprintf(text, sizeof(text), "map[id:%u]", insn->imm);
		break;
	case BPF_PSEUDO_MAP_VALUE:
		snprintf(text, sizeof(text), "map[id:%u][0]+%u", insn->imm, insn[1].imm);
		break;
	case BPF_PSEUDO_MAP_IDX_VALUE:
		snprintf(text, sizeof(text), "map[idx:%u]+%u", insn->imm, insn[1].imm);
		break;
	case BPF_PSEUDO_FUNC:
		snprintf(text, sizeof(text), "subprog[%+d]", insn->imm);
		break;
	default:
		snprintf(text, sizeof(text), "0x%llx", (unsigned long long)whole);
	}
	return text;
}

int main(void)
{
	const struct bpf_insn_cbs names = { .cb_print = print, .cb_call = name_of_call, .cb_imm = name_of_imm };
	unsigned int length;

	while (fread(&length, sizeof(length), 1, stdin) == 1) {
		/* One slot more than there are, so that a last ld_imm64 has a second half. */
		struct bpf_insn *insns = calloc(length / sizeof(*insns) + 1, sizeof(*insns));
		unsigned int i;

		if (!insns || fread(insns, 1, length, stdin) != length)
			return 1;
		for (i = 0; i < length / sizeof(*insns); i++) {
			printf("%4u: ", i);
			print_bpf_insn(&names, insns + i, true);
			if (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW))
				i++;
		}
		puts(".");
		free(insns);
	}
	return 0;
}
