#!/usr/bin/env bash
# Runs a script of this folder in a Debian kernel booted under qemu, with elfbee built for it: what this machine's own
# kernel cannot do. Needs a built checkout (npm run build) and what boot.sh needs.
#   run.sh                 hooks on functions of the kernel (attach.mjs) on 6.12
#   run.sh SERIES          the same on another kernel
#   run.sh SERIES SCRIPT   sockmap.mjs on 6.1: what older kernels have in place of links
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/dist"
cp -r "$root/dist/." "$folder/dist"
cp "$root/package.json" "$root"/test/kernel/links/objects/*.bpf.o "$here"/*.mjs "$folder"
# At the top of the folder, as its shared libraries come along then.
cp "$root/native/build/Release/elfbee.node" "$folder/elfbee.node"
chmod +x "$folder/elfbee.node"
"$here/boot.sh" "${1:-6.12}" "$folder" env ELFBEE_NATIVE=/w/elfbee.node node "${2:-attach.mjs}"
