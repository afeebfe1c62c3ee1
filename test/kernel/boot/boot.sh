#!/usr/bin/env bash
# Boots a Debian kernel under qemu's software emulation, runs one command in it as root, prints what it prints and exits
# with its status.
#
#   boot.sh SERIES FOLDER COMMAND [ARG...]
#
#   SERIES  6.12 or another series of linux-image-SERIES*-cloud-amd64 that apt knows (backports included), or the path
#           of a vmlinuz
#   FOLDER  is /w in the kernel, with node and the shared libraries of the programs at its top; what the command writes
#           to /w/out comes back to FOLDER/out
#
# Environment: BOOT_MEMORY in MiB (default 1024), BOOT_LIMIT in seconds (default 300).
# Needs Debian's qemu-system-x86, busybox-static and cpio. Kernels are kept in ~/.cache/debian-kernels.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,14p' "$0" >&2; exit 2; }
series=$1 folder=$(realpath "$2")
shift 2
for tool in qemu-system-x86_64 busybox cpio; do
  command -v $tool >/dev/null || { echo "boot: $tool is missing (apt-get install qemu-system-x86 busybox-static cpio)" >&2; exit 3; }
done

find_kernel() { find "$1" -name 'vmlinuz*' -type f 2>/dev/null | head -n 1 || true; }
kernel=$series
if [ ! -f "$series" ]; then
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/debian-kernels/$series
  kernel=$(find_kernel "$cache")
  if [ -z "$kernel" ]; then
    # The image of newer releases is in linux-binary.
    package=$(apt-cache search --names-only "^linux-(binary|image)-${series//./\\.}\\..*-cloud-amd64\$" | awk '{print $1}' | sort -V | tail -n 1)
    [ -n "$package" ] || { echo "boot: apt knows no kernel of series $series" >&2; exit 3; }
    mkdir -p "$cache"
    (cd "$cache" && apt-get download "$package" >/dev/null && dpkg-deb -x "$package"_*.deb . && rm "$package"_*.deb)
    kernel=$(find_kernel "$cache")
  fi
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,usr/bin}
cp -a "$folder" "$root/w"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list | grep -vx busybox); do ln -s busybox "$root/bin/$applet"; done
copy_libraries() {
  for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*\.so[^ ]*' | sort -u); do
    mkdir -p "$root$(dirname "$library")"
    cp -Lf "$library" "$root$library"
  done
}
cp -L "$(command -v node)" "$root/usr/bin/node"
copy_libraries "$root/usr/bin/node"
for program in $(find "$folder" -maxdepth 1 -type f -perm -u+x); do copy_libraries "$program"; done
printf '%q ' "$@" >"$root/command"
cat >"$root/init" <<'INIT'
#!/bin/sh
export PATH=/usr/bin:/bin HOME=/tmp
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev; mount -t tmpfs none /tmp
mount -t bpf none /sys/fs/bpf; mount -t tracefs none /sys/kernel/tracing; mount -t securityfs none /sys/kernel/security
mount -t cgroup2 none /sys/fs/cgroup; ip link set lo up
mkdir -p /w/out; cd /w; stty -onlcr -F /dev/ttyS0
echo "@@begin@@"; sh -c "$(cat /command)" </dev/null 2>&1; status=$?; echo; echo "@@exit $status@@"
[ -z "$(ls out)" ] || { echo "@@files@@"; tar -czf - out | base64; echo "@@end@@"; }
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"
rm -rf "$root"
limit=${BOOT_LIMIT:-300}
# An emulated boot can hang before user space: then another try.
for _ in 1 2 3; do
  : >"$work/log"
  timeout $((limit + 90)) qemu-system-x86_64 -accel tcg -cpu max -m "${BOOT_MEMORY:-1024}" -nographic -no-reboot -nic none \
    -kernel "$kernel" -initrd "$work/initrd" \
    -append 'console=ttyS0 panic=-1 quiet mitigations=off lsm=lockdown,capability,bpf' </dev/null >"$work/log" 2>&1 &
  qemu=$!
  for ((waited = 0; waited < 90; waited++)); do
    if grep -q '@@begin@@' "$work/log" || ! kill -0 $qemu 2>/dev/null; then break; fi
    sleep 1
  done
  grep -q '@@begin@@' "$work/log" || kill $qemu 2>/dev/null || true
  wait $qemu || true
  ! grep -q '@@begin@@' "$work/log" || break
done
tr -d '\r' <"$work/log" >"$work/text"
awk '/^@@exit [0-9]+@@/ { on = 0; over = 1 } on; /@@begin@@/ && !over { on = 1 }' "$work/text"
if grep -q '^@@files@@' "$work/text"; then
  awk '/^@@end@@/ { on = 0 } on; /^@@files@@/ { on = 1 }' "$work/text" | base64 -di | tar -C "$folder" -xzf -
fi
status=$(grep -ao '^@@exit [0-9]*@@' "$work/text" | grep -o '[0-9]*' | head -n 1 || true)
[ -n "$status" ] || { echo "boot: the kernel did not finish within $limit s; its last lines:" >&2; tail -n 15 "$work/text" >&2; exit 4; }
exit "$status"
