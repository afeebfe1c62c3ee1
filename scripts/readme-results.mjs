// The README's table of measured numbers, made from docs/results: `node scripts/readme-results.mjs --write` puts it
// into README.md, and a test checks that it is current.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What each oracle and benchmark says, in the README's order. */
const ROWS = [
  ['btf-vs-bpftool', 'BTF dumps (raw, JSON, C) byte-identical to bpftool 7.5: selftest objects and vmlinux'],
  ['btf-check-vs-kernel', 'mutated BTF accepted or refused as the kernel does'],
  ['core-vs-libbpf-targets', 'CO-RE selftests against their own target BTF, refusals included: as libbpf 1.5'],
  ['core-vs-libbpf', 'selftest programs relocated to the same instructions as by libbpf 1.5'],
  [
    'load-vs-libbpf',
    'selftest programs that load, or fail at the same stage with the same words of the kernel, as by libbpf 1.5',
  ],
  ['kernel-matrix', 'fixture programs that come as far as with libbpf 1.5 on Linux 6.1, 6.12, 6.18 and 7.3 (booted)'],
  ['faults', 'kinds of faults after which nothing is left behind: rounds, failures, kills, floods, workers'],
  ['disasm-vs-bpftool', 'disassembly texts equal to llvm-objdump’s, the kernel’s and bpftool’s'],
  ['linker-vs-bpftool', 'objects and pairs of objects linked, or refused, as by bpftool gen object'],
  ['mincore-vs-bpftool', 'selftest objects with the same minimal BTF as from bpftool gen min_core_btf'],
  ['decode-vs-kernel', 'instructions valid or refused as by the kernel'],
  ['vm-vs-kernel', 'fixture programs with the same results in interpreter, JIT and kernel on 1,000 inputs each'],
  ['isa-vs-kernel', 'instructions on edge values with the same results in interpreter, JIT and kernel'],
  ['fuzz-programs', 'random programs, verified by the kernel, with the same results everywhere on 10 inputs each'],
  ['map-operations', 'random operations on maps by programs with the same results in interpreter, JIT and kernel'],
  ['maps-vs-kernel', 'operations on maps of every type, and creations, that give in the vm what the kernel gives'],
  ['selftest-retval', 'selftest programs that return in the vm what they say (`__retval`)'],
  ['verifier-selftests', 'selftest programs that get the kernel’s verdict from elfbee’s verifier'],
  ['verifier-selftests-7.2', 'the same of programs held out: the selftests of Linux 7.2, on Linux 6.18'],
  ['verifier-messages', 'refusals of selftest programs whose log ends with the kernel’s own line'],
  ['verifier-table', 'table tests of the kernel’s own verifier tests that get the kernel’s verdict'],
  ['verifier-trampolines', 'fentry, fexit, fmod_ret, LSM and freplace programs that get the verdict of Linux 6.18'],
  [
    'verifier-unpriv',
    'socket and cgroup filters of the selftests that get the kernel’s verdict when anybody loads them',
  ],
  ['verifier-capbpf', 'selftest programs that get the kernel’s verdict when loaded without CAP_PERFMON'],
  ['verifier-contexts', 'single accesses to contexts and sockets, and calls, with the kernel’s verdict and message'],
  ['verifier-calls', 'calls, operations and accesses with every kind of value, with the kernel’s verdict and message'],
  ['verifier-mutate', 'selftest programs with one to three instructions changed that get the kernel’s verdict'],
  ['verifier-fuzz', 'random programs that get the kernel’s verdict'],
  [
    'verifier-run-fuzz',
    'accepted random programs that ran on 100 inputs without a trap or a register outside of what was proved',
  ],
  ['verifier-counts', 'selftest programs that cost the verifier as many instructions and states as the kernel’s'],
  ['verifier-log', 'selftest programs whose full verification log (level 2) equals the kernel’s byte for byte'],
  [
    'bench-open-relocate',
    'time against libbpf: open vmlinux BTF, open and relocate an object (worse of the two, warm)',
  ],
  [
    'bench-verifier',
    'time to verify selftest programs of over 1,000 instructions against the kernel’s own verification time (median)',
  ],
  ['bench-btf-dump', 'time against bpftool: vmlinux BTF as a C header, whole process'],
  ['bench-load', 'time against libbpf: open an object with 50 programs and load it into the kernel'],
  ['bench-ringbuf', 'time against libbpf: drain a ring buffer of 16-byte records with a callback'],
  ['bench-maps-api', 'time of map lookups by C types against the bare system call'],
  ['bench-jit-node20', 'time of 70 programs in the vm against the kernel’s JIT, Node 20'],
  ['bench-jit-node24', 'the same on Node 24'],
  ['bench-run', 'time of a run from JavaScript on a 64-byte packet against a test run in the kernel'],
  ['soak', 'time of a run in the last tenth of a billion with full maps against the first tenth'],
  ['bench-maps', 'time of 64 map operations of programs in the vm against the kernel’s'],
  [
    'bench-compile',
    'time to load programs of 100 to 100,000 instructions against the kernel’s (verifier and JIT), warm',
  ],
]

/** The table as Markdown; rows without a recorded result are left out. */
export function resultsTable() {
  const lines = ['| what | result | recorded in |', '| --- | --- | --- |']
  for (const [name, what] of ROWS) {
    let result
    try {
      result = JSON.parse(readFileSync(`${root}/docs/results/${name}.json`, 'utf8'))
    } catch {
      continue
    }
    const number = (value) => value.toLocaleString('en-US')
    const text =
      result.ratio === undefined ? `${number(result.equal)} of ${number(result.total)}` : `ratio ${result.ratio}`
    lines.push(`| ${what} | ${text} | [${name}](docs/results/${name}.json) |`)
  }
  return lines.join('\n')
}

/** README.md with the current table. */
export function readmeWithResults(readme) {
  return readme.replace(/(<!-- results -->)[\s\S]*?(<!-- \/results -->)/, `$1\n\n${resultsTable()}\n\n$2`)
}

if (process.argv.includes('--write')) {
  writeFileSync(`${root}/README.md`, readmeWithResults(readFileSync(`${root}/README.md`, 'utf8')))
}
