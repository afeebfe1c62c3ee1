#!/usr/bin/env bash
# Builds the libbpf side of the benchmarks and the object with 5,000 CO-RE relocations.
#
#   bench/peer/build.sh [OUTPUT_DIR]
#
# Takes the oracle's libbpf 1.5 when prepare.sh has built it, else the system's (Debian: libbpf-dev). The output
# directory is by default "bench" in the oracle directory; nothing is committed. Prints the paths of the files.
#
# Environment: ELFBEE_ORACLE_DIR (default .cache/oracle in the repository),
#              ELFBEE_BENCH_LIBBPF=system to take the system's libbpf although the other is there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
oracle=${ELFBEE_ORACLE_DIR:-$(cd "$here/../.." && pwd)/.cache/oracle}
out=${1:-$oracle/bench}
mkdir -p "$out"

if [[ ${ELFBEE_BENCH_LIBBPF:-} != system && -e $oracle/libbpf.a ]]; then
  libbpf=(-I"$oracle/include" -I"$oracle/linux-source-6.12/tools/include/uapi" "$oracle/libbpf.a" -lelf -lz)
else
  libbpf=(-lbpf)
fi
for peer in libbpf-open libbpf-ringbuf libbpf-maps libbpf-load; do
  gcc -std=gnu11 -O2 -Wall -o "$out/$peer" "$here/$peer.c" "${libbpf[@]}" -ldl
  echo "$out/$peer"
done

if [[ ! -e $out/core-5000.bpf.o || $here/make-5000-core.mjs -nt $out/core-5000.bpf.o ]]; then
  node "$here/make-5000-core.mjs" "$out" >&2
fi
echo "$out/core-5000.bpf.o"
