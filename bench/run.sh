#!/usr/bin/env bash
# npm run bench: measures elfbee against its peers in the same run and records the ratios in docs/results/NAME.json.
set -euo pipefail
cd "$(dirname "$0")/.."
export ELFBEE_ORACLE_DIR=${ELFBEE_ORACLE_DIR:-$PWD/.cache/oracle}

bash test/oracle/prepare/prepare.sh
bash bench/peer/build.sh
npm run --silent build
status=0
for script in bench/*.mjs; do
  # Takes minutes: npm run soak.
  [ "$script" = bench/soak.mjs ] && continue
  printf '\n== %s\n' "$script"
  node "$script" || status=1
done
exit $status
