// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
#include "check.h"

extern int bpf_strcmp(const char *s1, const char *s2) __ksym;
extern int bpf_strchr(const char *s, char c) __ksym;
extern int bpf_strchrnul(const char *s, char c) __ksym;
extern int bpf_strnchr(const char *s, __u64 count, char c) __ksym;
extern int bpf_strrchr(const char *s, char c) __ksym;
extern int bpf_strlen(const char *s) __ksym;
extern int bpf_strnlen(const char *s, __u64 count) __ksym;
extern int bpf_strspn(const char *s, const char *accept) __ksym;
extern int bpf_strcspn(const char *s, const char *reject) __ksym;
extern int bpf_strstr(const char *s1, const char *s2) __ksym;
extern int bpf_strnstr(const char *s1, const char *s2, __u64 count) __ksym;

char text[] = "hello world";
char same[] = "hello world";
char other[] = "hello there";
char part[] = "lo w";
char vowels[] = "aeiou";
char letters[] = "hel";
char empty[] = "";

SEC("syscall")
int compare(void *ctx)
{
	CHECK(bpf_strcmp(text, same) == 0);
	CHECK(bpf_strcmp(text, other) == 1);
	CHECK(bpf_strcmp(other, text) == -1);
	CHECK(bpf_strcmp(text, empty) == 1);
	return 0;
}

SEC("syscall")
int find(void *ctx)
{
	CHECK(bpf_strchr(text, 'o') == 4);
	CHECK(bpf_strchr(text, 'x') == -ENOENT);
	CHECK(bpf_strchr(text, '\0') == 11);
	CHECK(bpf_strchrnul(text, 'x') == 11);
	CHECK(bpf_strnchr(text, 4, 'o') == -ENOENT);
	CHECK(bpf_strnchr(text, 5, 'o') == 4);
	CHECK(bpf_strrchr(text, 'o') == 7);
	return 0;
}

SEC("syscall")
int lengths(void *ctx)
{
	CHECK(bpf_strlen(text) == 11);
	CHECK(bpf_strlen(empty) == 0);
	CHECK(bpf_strnlen(text, 5) == 5);
	CHECK(bpf_strnlen(text, 50) == 11);
	CHECK(bpf_strspn(text, letters) == 4);
	CHECK(bpf_strcspn(text, vowels) == 1);
	return 0;
}

SEC("syscall")
int search(void *ctx)
{
	CHECK(bpf_strstr(text, part) == 3);
	CHECK(bpf_strstr(text, empty) == 0);
	CHECK(bpf_strstr(text, vowels) == -ENOENT);
	CHECK(bpf_strnstr(text, part, 6) == -ENOENT);
	CHECK(bpf_strnstr(text, part, 7) == 3);
	return 0;
}
