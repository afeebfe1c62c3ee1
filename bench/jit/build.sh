#!/bin/sh
# Builds the benchmark programs: bench/jit/src/*.bpf.c to bench/jit/objects/. Needs clang-19, llvm-19, libbpf-dev.
set -eu
cd "$(dirname "$0")"
mkdir -p objects
multiarch=$(clang-19 -print-multiarch 2>/dev/null || true)
[ -n "$multiarch" ] || multiarch=$(uname -m)-linux-gnu
for source in src/*.bpf.c; do
	object=objects/$(basename "$source" .c).o
	clang-19 --target=bpf -mcpu=v3 -O2 -g -Wall -Wno-unused-function -Isrc -idirafter "/usr/include/$multiarch" \
		-ffile-prefix-map="$PWD/src=." -fdebug-compilation-dir=. -c "$source" -o "$object"
	llvm-strip-19 -g "$object"
done
