#!/bin/sh
# Builds the BPF objects of this folder (Debian packages: clang-19 llvm-19 libbpf-dev linux-libc-dev).
set -eu
cd "$(dirname "$0")"
arch=$(clang-19 -print-multiarch 2>/dev/null || true)
for source in *.bpf.c; do
	object=${source%.c}.o
	clang-19 -g -O2 -Wall -mcpu=v3 -target bpf -D__TARGET_ARCH_x86 -idirafter "/usr/include/${arch:-x86_64-linux-gnu}" \
		-ffile-prefix-map="$PWD"=. -fdebug-compilation-dir=. -c "$source" -o "$object"
	llvm-strip-19 -g "$object"
done
