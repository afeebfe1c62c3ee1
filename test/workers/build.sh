#!/bin/sh
# Builds the BPF object of this folder from *.bpf.c. Needs clang-19, llvm-19, libbpf-dev, linux-libc-dev.
set -eu
cd "$(dirname "$0")"
multiarch=$(clang-19 -print-multiarch 2>/dev/null || true)
for source in *.bpf.c; do
	object=${source%.c}.o
	clang-19 -O2 -g -Wall -Wno-unused-function -target bpf -mcpu=v3 -idirafter "/usr/include/${multiarch:-$(uname -m)-linux-gnu}" \
		-ffile-prefix-map="$PWD"=. -fdebug-compilation-dir=. -c "$source" -o "$object"
	llvm-strip-19 -g "$object"
done
