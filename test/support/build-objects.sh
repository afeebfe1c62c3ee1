#!/bin/sh
# Builds the BPF objects that lie beside tests and benchmarks, from the *.bpf.c of their folders, in place. Needs
# clang-19, llvm-19, libbpf-dev, linux-libc-dev.
#
#   test/support/build-objects.sh [FOLDER...]
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- bench/load bench/soak test/contract/objects test/kernel/links/objects test/vm/run test/workers
multiarch=$(clang-19 -print-multiarch 2>/dev/null || true)
for folder in "$@"; do
	(
		cd "$folder"
		for source in *.bpf.c; do
			object=${source%.c}.o
			clang-19 -O2 -g -Wall -Wno-unused-function -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 \
				-idirafter "/usr/include/${multiarch:-$(uname -m)-linux-gnu}" \
				-ffile-prefix-map="$PWD"=. -fdebug-compilation-dir=. -c "$source" -o "$object"
			llvm-strip-19 -g "$object"
		done
	)
done
