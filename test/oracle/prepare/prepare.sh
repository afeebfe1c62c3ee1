#!/usr/bin/env bash
# Prepares the reference tools and objects that `npm run oracle` compares elfbee with.
#
#   test/oracle/prepare/prepare.sh [STEP...]
#
# STEP is any of: packages sources libbpf bpftool vmlinux objects harness core load logs table (default: all, in this
# order; without harness, core, logs and table for another series than 6.12).
# Every step can be repeated; finished work is not done again.
#
# Environment:
#   ELFBEE_ORACLE_DIR     where everything goes (default: .cache/oracle in the repository)
#   ELFBEE_ORACLE_SOURCE  the kernel series whose source is used: 6.12 (default), or 7.2, whose package linux-source-7.2
#                         is in Debian's backports (apt must know them: trixie-backports in its sources); what belongs
#                         to another series than 6.12, with tools of its own, goes to $ELFBEE_ORACLE_DIR/SERIES
#   ELFBEE_ORACLE_JOBS    parallel compiler processes (default: 2)
#   CLANG                 the compiler of the BPF objects (default: clang-19)
#
# What the directory holds afterwards:
#   linux-source-6.12/   the parts of Debian's kernel source that the steps below need
#   libbpf.a, include/   libbpf 1.5 built from it, with its headers and the generated bpf_helper_defs.h
#   bpftool              bpftool 7.5 built from it, static
#   vmlinux.h            C dump of the running kernel's BTF
#   objs/*.bpf.o         tools/testing/selftests/bpf/progs/*.c compiled as the selftests Makefile does
#   objs/compile.json    { clang, kernelSource, flags, ok: [name], failed: { name: reason } }
#   core-dump            harness (core-dump.c) and its answers for all objects, core-dump.jsonl
#   load-dump            harness (load-dump.c) and its answers for all objects, load-dump.jsonl
#   table-dump           test_verifier of the selftests with table-dump.c in between, and table-dump.jsonl
#   logs/LEVEL/OBJECT/   the verifier's logs of all programs with statistics: failing paths (1), everything (2)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../../.." && pwd)
version=${ELFBEE_ORACLE_SOURCE:-6.12}
dir=${ELFBEE_ORACLE_DIR:-$repo/.cache/oracle}
[[ $version == 6.12 ]] || dir=$dir/$version
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
jobs=${ELFBEE_ORACLE_JOBS:-2}
clang=${CLANG:-clang-19}
vmlinux_btf=/sys/kernel/btf/vmlinux

tarball=/usr/src/linux-source-$version.tar.xz
src=$dir/linux-source-$version
selftests=$src/tools/testing/selftests/bpf

started=$(date +%s)
say() { printf '[oracle %4ds] %s\n' "$(($(date +%s) - started))" "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# Debian packages, installed only when something is missing.
step_packages() {
  local wanted=(clang-19 llvm-19 "linux-source-$version" libelf-dev zlib1g-dev libbpf-dev gcc libc6-dev make python3
    xz-utils jq)
  local missing=() package
  for package in "${wanted[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then
    say 'packages: all installed'
    return
  fi
  say "packages: installing ${missing[*]}"
  local as_root=()
  if (($(id -u) != 0)); then
    command -v sudo >/dev/null || die "not root and no sudo: install these by hand: ${missing[*]}"
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# Only the needed parts of the kernel source: about 90 MB instead of 1.6 GB.
step_sources() {
  local stamp=$src/.elfbee-unpacked
  local parts=(
    Makefile COPYING 'tools/lib/*' 'tools/bpf/*' 'tools/include/*' 'tools/build/*' 'tools/scripts/*' 'tools/arch/*'
    'tools/testing/selftests/bpf/*' 'tools/testing/selftests/hid/*' 'tools/testing/selftests/*.mk'
    'tools/testing/selftests/*.h' 'kernel/bpf/*' kernel/trace/bpf_trace.c net/core/filter.c 'net/bpf/*' 'include/*'
    'scripts/*' 'arch/x86/include/*' 'arch/x86/net/*' 'samples/bpf/*' lib/test_bpf.c 'Documentation/bpf/*'
    net/core/bpf_sk_storage.c net/core/lwt_bpf.c net/core/sock_map.c net/ipv4/bpf_tcp_ca.c net/netfilter/nf_bpf_link.c
    drivers/media/rc/bpf-lirc.c
  )
  if [[ -e $stamp && $(<"$stamp") == "${parts[*]}" ]]; then
    say "sources: $src is there"
    return
  fi
  [[ -e $tarball ]] || die "$tarball is missing: apt-get install linux-source-$version"
  say "sources: unpacking parts of $tarball"
  xz -T2 -dc "$tarball" | tar xf - -C "$dir" --wildcards "${parts[@]/#/linux-source-$version/}"
  echo "${parts[*]}" >"$stamp"
}

step_libbpf() {
  local out=$dir/build/libbpf header
  mkdir -p "$out"
  say 'libbpf: building'
  # MAKEFLAGS may come from a calling make and would replace our settings.
  env -u MAKEFLAGS make -s -j"$jobs" -C "$src/tools/lib/bpf" OUTPUT="$out/" DESTDIR="$out" prefix= \
    BUILD_STATIC_ONLY=1 EXTRA_CFLAGS='-g -O2' "$out/libbpf.a" install_headers >"$out/build.log" 2>&1 ||
    { tail -20 "$out/build.log" >&2; die 'libbpf does not build'; }
  cmp -s "$out/libbpf.a" "$dir/libbpf.a" || cp "$out/libbpf.a" "$dir/libbpf.a"
  mkdir -p "$dir/include/bpf"
  for header in "$out"/include/bpf/*.h "$src/tools/lib/bpf"/{hashmap,libbpf_internal,relo_core}.h; do
    cmp -s "$header" "$dir/include/bpf/${header##*/}" || cp "$header" "$dir/include/bpf/"
  done
}

# No LLVM, libbfd, libcap or skeletons: they serve only disassembly of JITed code and process names.
step_bpftool() {
  local out=$dir/build/bpftool
  mkdir -p "$out"
  say 'bpftool: building'
  env -u MAKEFLAGS make -s -j"$jobs" -C "$src/tools/bpf/bpftool" OUTPUT="$out/" \
    EXTRA_CFLAGS='-g -O2' EXTRA_LDFLAGS=-static feature-llvm=0 feature-libbfd=0 feature-libbfd-liberty=0 \
    feature-libbfd-liberty-z=0 feature-libcap=0 feature-clang-bpf-co-re=0 >"$out/build.log" 2>&1 ||
    { tail -20 "$out/build.log" >&2; die 'bpftool does not build'; }
  cmp -s "$out/bpftool" "$dir/bpftool" || cp "$out/bpftool" "$dir/bpftool"
  say "bpftool: $("$dir/bpftool" version | tr '\n' ' ')"
}

step_vmlinux() {
  [[ -r $vmlinux_btf ]] || die "$vmlinux_btf is missing: this kernel has no BTF"
  "$dir/bpftool" btf dump file "$vmlinux_btf" format c >"$dir/vmlinux.h.new"
  if cmp -s "$dir/vmlinux.h.new" "$dir/vmlinux.h"; then
    rm "$dir/vmlinux.h.new"
    say 'vmlinux.h: unchanged'
  else
    mv "$dir/vmlinux.h.new" "$dir/vmlinux.h"
    say "vmlinux.h: $(wc -l <"$dir/vmlinux.h") lines"
  fi
  ln -sfn ../vmlinux.h "$dir/include/vmlinux.h"
}

# The include directories of the host compiler, after all others, as the selftests Makefile passes them.
system_includes() {
  "$clang" -v -E - </dev/null 2>&1 |
    sed -n '/<...> search starts here:/,/End of search list./{ s| \(/.*\)|-idirafter\n\1|p }'
}

# Flags that the selftests Makefile gives one file only (`progs/x.c-CFLAGS := ...` and two target-specific ones).
file_flags() {
  sed -n "s|^progs/$1\.c-CFLAGS := ||p" Makefile
  case $1 in test_l4lb_noinline | test_xdp_noinline) echo -fno-inline ;; esac
}

# Runs in the selftests directory. A failed file leaves its messages in objs/.log/NAME.failed.
compile_one() {
  local name=$1 objs=../../../../../objs flags
  mapfile -t flags < <(cat "$objs/.flags" && file_flags "$name" | tr ' ' '\n')
  rm -f "$objs/.log/$name.failed"
  local compile=(nice "$clang" "${flags[@]}" -c "progs/$name.c" -o "$objs/$name.bpf.o.new")
  # Some newer selftests have the prototypes of kernel functions from vmlinux.h, others conflict with it.
  if "${compile[@]}" 2>"$objs/.log/$name.log" ||
    { [[ -d libarena ]] && "${compile[@]/#-DBPF_NO_KFUNC_PROTOTYPES=/-Wall}" 2>"$objs/.log/$name.log"; }; then
    mv "$objs/$name.bpf.o.new" "$objs/$name.bpf.o"
    [[ -s $objs/.log/$name.log ]] || rm "$objs/.log/$name.log"
  else
    rm -f "$objs/$name.bpf.o" "$objs/$name.bpf.o.new"
    echo 'error: the compiler gave up' >>"$objs/.log/$name.log"
    mv "$objs/.log/$name.log" "$objs/.log/$name.failed"
  fi
}

# Is $1 there, and newer than the source $2 and the flags?
current() {
  [[ -s $1 && $1 -nt $2 && $1 -nt $dir/objs/.flags ]]
}

step_objects() {
  mkdir -p "$dir/objs/.log"
  # The flags of CLANG_BPF_BUILD_RULE for test_progs, and some more. Paths are relative and the compilation directory
  # is a constant, so that names in the objects do not depend on $dir. (The same directory gives the same bytes; in
  # another one, clang may number some BTF types differently, as it orders them by their address in its memory.) The
  # other two let sources of $version meet the vmlinux.h of a newer kernel: its kfunc prototypes would conflict with
  # those in the selftests' own headers, and `struct path` pointers have become const in it.
  local new=$dir/objs/.flags.new name file stale=()
  {
    printf '%s\n' -g -Wall -Werror -D__TARGET_ARCH_x86 -mlittle-endian -I../../../../../include -I. \
      -I../../../include/uapi -Wno-compare-distinct-pointer-types
    # The flags of newer selftests.
    [[ ! -d $selftests/libarena ]] || printf '%s\n' -I../../../include -Ilibarena/include -std=gnu11 -fms-extensions \
      -fno-strict-aliasing -Wno-microsoft-anon-tag -Wno-initializer-overrides
    system_includes
    printf '%s\n' -DENABLE_ATOMICS_TESTS -DBPF_NO_KFUNC_PROTOTYPES= \
      -Wno-error=incompatible-pointer-types-discards-qualifiers \
      -fdebug-compilation-dir=tools/testing/selftests/bpf -O2 --target=bpf -mcpu=v3
  } >"$new"
  if cmp -s "$new" "$dir/objs/.flags" && [[ ! $dir/vmlinux.h -nt $dir/objs/.flags ]]; then
    rm "$new"
  else
    mv "$new" "$dir/objs/.flags"
  fi
  for file in "$selftests"/progs/*.c; do
    name=${file##*/}
    name=${name%.c}
    current "$dir/objs/$name.bpf.o" "$file" || current "$dir/objs/.log/$name.failed" "$file" || stale+=("$name")
  done
  if ((${#stale[@]})); then
    say "objects: compiling ${#stale[@]} files with $("$clang" --version | head -1)"
    export -f compile_one file_flags
    export clang
    (cd "$selftests" && printf '%s\n' "${stale[@]}" |
      xargs -P "$jobs" -n 8 bash -c 'for name; do compile_one "$name"; done' compile)
  fi

  # compile.json: the first error of each failed file.
  (
    cd "$dir/objs"
    find . -name '*.bpf.o' -printf '%P\n' | sed 's|\.bpf\.o$||' | LC_ALL=C sort | jq -R . >.ok.json
    for file in .log/*.failed; do
      [[ -e $file ]] || continue
      name=${file##*/}
      grep -m1 error "$file" | jq -R --arg n "${name%.failed}" '{($n): .}'
    done >.failed.json
    jq -n --slurpfile ok .ok.json --slurpfile failed .failed.json --arg clang "$("$clang" --version | head -1)" \
      --arg source "$(dpkg-query -W -f '${Package} ${Version}' "linux-source-$version" 2>/dev/null || echo unknown)" \
      --arg flags "$(tr '\n' ' ' <.flags)" \
      '{clang: $clang, kernelSource: $source, flags: $flags, ok: $ok, failed: ($failed | add)}' >compile.json
    rm .ok.json .failed.json
    say "objects: $(jq '.ok | length' compile.json) compiled, $(jq '.failed | length' compile.json) failed"
  )
}

# core-dump includes libbpf.c itself, so it is linked with the other object files.
step_harness() {
  local file others=()
  for file in "$dir"/build/libbpf/staticobjs/*.o; do
    case ${file##*/} in libbpf.o | libbpf-in.o) ;; *) others+=("$file") ;; esac
  done
  build_harness core-dump -I"$src/tools/lib/bpf" -I"$src/tools/include" -I"$src/tools/include/uapi" \
    -D_LARGEFILE64_SOURCE -D_FILE_OFFSET_BITS=64 "${others[@]}"
  build_table
}

# test_verifier itself: table-dump.c stands between it and libbpf. The list of its table's files is what its Makefile
# makes.
build_table() {
  local out=$dir/build/table wrap=bpf_prog_load,bpf_map_create,bpf_btf_load,load_bpf_testmod,unload_bpf_testmod,printf
  if [[ $dir/table-dump -nt $here/table-dump.c && $dir/table-dump -nt $dir/libbpf.a ]]; then
    say 'harness: table-dump is there'
    return
  fi
  say 'harness: building table-dump'
  mkdir -p "$out/verifier"
  {
    echo '#ifdef FILL_ARRAY'
    (cd "$selftests/verifier" && printf '#include "%s"\n' [a-z]*.c)
    echo '#endif'
  } >"$out/verifier/tests.h"
  gcc -std=gnu11 -O1 -g -w -fno-builtin-printf -D_GNU_SOURCE -I"$out" -I"$selftests/verifier" -I"$dir/include" \
    -I"$selftests" -I"$src/tools/include" -I"$src/tools/include/uapi" -o "$dir/table-dump.new" "$here/table-dump.c" \
    "$selftests"/{test_verifier,testing_helpers,cap_helpers,unpriv_helpers}.c \
    "-Wl,--wrap=${wrap//,/,--wrap=}" "$dir/libbpf.a" -lelf -lz
  mv "$dir/table-dump.new" "$dir/table-dump"
}

build_harness() {
  local name=$1
  shift
  if [[ $dir/$name -nt $here/$name.c && $dir/$name -nt $dir/libbpf.a ]]; then
    say "harness: $name is there"
    return
  fi
  say "harness: building $name"
  gcc -std=gnu11 -O2 -g -Wall -o "$dir/$name.new" "$here/$name.c" "$@" -lelf -lz
  mv "$dir/$name.new" "$dir/$name"
}

dump() {
  local name=$1
  if [[ $dir/$name.jsonl -nt $dir/$name && -z $(find "$dir/objs" -name '*.bpf.o' -newer "$dir/$name.jsonl") ]]; then
    say "$name: $dir/$name.jsonl is there"
    return
  fi
  say "$name: running over all objects"
  (cd "$dir/objs" && find . -name '*.bpf.o' -printf '%P\n' | LC_ALL=C sort | nice "$dir/$name" -) >"$dir/$name.jsonl.new"
  mv "$dir/$name.jsonl.new" "$dir/$name.jsonl"
}

step_core() {
  dump core-dump
  say "core: $(jq -s -c '[.[] | select(.prog)] | {programs: length, relocated: map(select(.insns)) | length}' \
    "$dir/core-dump.jsonl")"
}

step_load() {
  build_harness load-dump -I"$dir/include" -I"$src/tools/include/uapi" "$dir/libbpf.a"
  dump load-dump
  say "load: $(jq -s -c '[.[] | select(.prog)] | {programs: length, loaded: map(select(.ok)) | length}' \
    "$dir/load-dump.jsonl")"
}

step_table() {
  if [[ ! $dir/table-dump.jsonl -nt $dir/table-dump ]]; then
    say 'table-dump: running'
    # Its status says whether the kernel behaves as the table expects, which is not the question here.
    "$dir/table-dump" >"$dir/table-dump.jsonl.new" 2>"$dir/build/table/test.log" || true
    mv "$dir/table-dump.jsonl.new" "$dir/table-dump.jsonl"
  fi
  say "table: $(jq -s -c '{programs: length, loaded: map(select(.ok)) | length}' "$dir/table-dump.jsonl")"
}

# Logs of the verifier at a level of detail, with statistics.
step_logs() {
  local level
  for level in 1 2; do
    if [[ $dir/logs/$level.done -nt $dir/load-dump.jsonl ]]; then
      say "logs: level $level is there"
      continue
    fi
    say "logs: level $level, running over all objects"
    mkdir -p "$dir/logs/$level"
    (cd "$dir/objs" && find . -name '*.bpf.o' -printf '%P\n' | LC_ALL=C sort |
      nice "$dir/load-dump" --log $((level + 4)) "$dir/logs/$level" -) >"$dir/logs/$level.done.new"
    mv "$dir/logs/$level.done.new" "$dir/logs/$level.done"
  done
}

steps=("$@")
if ((${#steps[@]} == 0)); then
  steps=(packages sources libbpf bpftool vmlinux objects load)
  [[ $version != 6.12 ]] || steps=(packages sources libbpf bpftool vmlinux objects harness core load logs table)
fi
for step in "${steps[@]}"; do
  declare -F "step_$step" >/dev/null || die "unknown step '$step'"
  "step_$step"
done
say 'done'
