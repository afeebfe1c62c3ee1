#!/bin/sh
# Builds the benchmark programs, src/*.bpf.c to objects/ here and in ../maps. Needs clang-19, llvm-19, libbpf-dev.
set -eu
cd "$(dirname "$0")/.."
multiarch=$(clang-19 -print-multiarch 2>/dev/null || true)
[ -n "$multiarch" ] || multiarch=$(uname -m)-linux-gnu
for directory in jit maps; do
	cd "$directory"
	mkdir -p objects
	for source in src/*.bpf.c; do
		object=objects/$(basename "$source" .c).o
		clang-19 --target=bpf -mcpu=v3 -O2 -g -Wall -Wno-unused-function -Isrc -I../jit/src \
			-idirafter "/usr/include/$multiarch" \
			-ffile-prefix-map="$PWD/src=." -fdebug-compilation-dir=. -c "$source" -o "$object"
		llvm-strip-19 -g "$object"
	done
	cd ..
done
