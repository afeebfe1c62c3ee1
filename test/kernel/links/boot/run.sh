#!/bin/sh
# Attaches programs to functions of the kernel in a Debian kernel booted under qemu, where this machine's has none.
#   run.sh               all hooks on functions (attach.mjs), on KERNEL=6.12
#   run.sh sockmap.mjs   what older kernels have in place of links; KERNEL=6.1
# BOOT names the script that boots: BOOT [-k SERIES] FOLDER COMMAND... Needs a built checkout (npm run build).
set -eu
root=$(cd "$(dirname "$0")/../../../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/dist"
cp -r "$root/dist/." "$folder/dist"
cp "$root/package.json" "$root"/test/kernel/links/objects/*.bpf.o "$root"/test/kernel/links/boot/*.mjs "$folder"
# At the top of the folder, as its shared libraries come along then.
cp "$root/native/build/Release/elfbee.node" "$folder/elfbee.node"
chmod +x "$folder/elfbee.node"
"${BOOT:?the script that boots a kernel}" -k "${KERNEL:-6.12}" -t "${LIMIT:-400}" "$folder" env ELFBEE_NATIVE=/w/elfbee.node node "${1:-attach.mjs}"
