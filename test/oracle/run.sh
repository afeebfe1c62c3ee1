#!/usr/bin/env bash
# npm run oracle: compares elfbee with the real tools and records the counts in docs/results/NAME.json.
# Gets what it needs from Debian packages (test/oracle/prepare/prepare.sh). Names as arguments run only those.
set -euo pipefail
cd "$(dirname "$0")/../.."
export ELFBEE_ORACLE_DIR=${ELFBEE_ORACLE_DIR:-$PWD/.cache/oracle}

bash test/oracle/prepare/prepare.sh
npm run --silent build

all=(btf-vs-bpftool core-vs-libbpf core-vs-libbpf-targets load-vs-libbpf disasm-vs-bpftool decode-vs-kernel vm-vs-kernel
  isa-vs-kernel maps-vs-kernel map-operations selftest-retval verifier-selftests verifier-messages verifier-table
  verifier-contexts verifier-calls verifier-mutate verifier-log mincore-vs-bpftool linker-vs-bpftool
  fuzz-programs)
[ $# -gt 0 ] && all=("$@")
status=0
summary=()
for name in "${all[@]}"; do
  printf '\n== %s\n' "$name"
  log=$(mktemp)
  node "test/oracle/$name.mjs" 2>&1 | tee "$log" || status=1
  summary+=("$(grep -E "^$name: " "$log" | tail -n 1)")
  rm -f "$log"
done
printf '\n'
printf '%s\n' "${summary[@]}"
exit $status
