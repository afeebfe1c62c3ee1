#!/usr/bin/env bash
# Builds the object of bench/load.mjs. Needs clang-19 and libbpf's headers; the object is committed.
set -euo pipefail
cd "$(dirname "$0")"
clang-19 -g -O2 -target bpf -mcpu=v3 -idirafter "/usr/include/$(uname -m)-linux-gnu" -ffile-prefix-map="$PWD"=. \
	-fdebug-compilation-dir=. -c fifty.bpf.c -o fifty.bpf.o
llvm-strip-19 -g fifty.bpf.o
