// Writes test/vm/golden/verifier-unprivileged.json: small programs with the verdict and the log at level 2 that the
// running kernel gives to those who have CAP_BPF and CAP_NET_ADMIN only.
//
//   node test/oracle/verifier-unprivileged-bless.mjs
//
// Needs root, Linux 6.18, setpriv and the addon.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { assemble } from '../../dist/isa/index.js'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { bareProgram, mapSpec } from '../../dist/loader/index.js'
import { root } from './results.mjs'

/** `r1 = 0x0 ll` is the address of an array of one value of 16 bytes. */
const PROGRAMS = {
  'a condition that is certain': ['r0 = 0', 'if r0 == 0x0 goto pc+1', 'r0 = 1', 'exit'],
  'what only a processor would do wrong': ['r0 = 0', 'if r0 == 0x0 goto pc+1', 'r0 = *(u64 *)(r0 +0)', 'exit'],
  'the same twice, the second time behind the barrier': [
    'r2 = *(u32 *)(r1 +0)',
    'r0 = 0',
    'if r2 > 0x4 goto pc+1',
    'r0 = 1',
    'if r0 s< 0x5 goto pc+1',
    'r0 = *(u64 *)(r0 +0)',
    'r0 = 0',
    'exit',
  ],
  'a store of a pointer, behind which a processor waits': [
    'r0 = 0',
    'if r0 == 0x0 goto pc+2',
    '*(u64 *)(r10 -8) = r10',
    'r0 = *(u64 *)(r0 +0)',
    'exit',
  ],
  'a store over a number that was spilled': [
    'r0 = 0',
    '*(u64 *)(r10 -8) = r0',
    'if r0 == 0x0 goto pc+2',
    '*(u32 *)(r10 -8) = 5',
    'r0 = *(u64 *)(r0 +0)',
    'exit',
  ],
  'a helper that writes to stack which nobody has written': [
    'r6 = r1',
    'r0 = 0',
    'if r0 == 0x0 goto pc+7',
    'r1 = r6',
    'r2 = 0',
    'r3 = r10',
    'r3 += -8',
    'r4 = 8',
    'call bpf_skb_load_bytes#26',
    'r0 = *(u64 *)(r0 +0)',
    'r0 = 0',
    'exit',
  ],
  'a loop that only a processor goes around': ['r0 = 0', 'if r0 != 0x0 goto pc-1', 'exit'],
  'both operands of a condition': [
    'r2 = 1',
    'r3 = 2',
    'if r2 == r3 goto pc+2',
    'r0 = 0',
    'exit',
    'r0 = r2',
    'r0 += r3',
    'exit',
  ],
  'a pointer moved by a variable offset': [
    '*(u32 *)(r10 -4) = 0',
    'r6 = *(u32 *)(r1 +0)',
    'r2 = r10',
    'r2 += -4',
    'r1 = 0x0 ll',
    'call bpf_map_lookup_elem#1',
    'if r0 == 0x0 goto pc+3',
    'r6 &= 7',
    'r0 += r6',
    'r1 = *(u8 *)(r0 +0)',
    'r0 = 0',
    'exit',
  ],
  'an offset that a pointer is added to': [
    '*(u32 *)(r10 -4) = 0',
    'r6 = *(u32 *)(r1 +0)',
    'r2 = r10',
    'r2 += -4',
    'r1 = 0x0 ll',
    'call bpf_map_lookup_elem#1',
    'if r0 == 0x0 goto pc+3',
    'r6 &= 7',
    'r6 += r0',
    'r1 = *(u8 *)(r6 +0)',
    'r0 = 0',
    'exit',
  ],
  'an offset that may go both ways': [
    '*(u32 *)(r10 -4) = 0',
    'r6 = *(u32 *)(r1 +0)',
    'r2 = r10',
    'r2 += -4',
    'r1 = 0x0 ll',
    'call bpf_map_lookup_elem#1',
    'if r0 == 0x0 goto pc+4',
    'r6 &= 7',
    'r6 -= 3',
    'r0 += r6',
    'r1 = *(u8 *)(r0 +0)',
    'r0 = 0',
    'exit',
  ],
  'different limits by path': [
    '*(u32 *)(r10 -4) = 0',
    'r6 = *(u32 *)(r1 +0)',
    'r7 = *(u32 *)(r1 +4)',
    'r2 = r10',
    'r2 += -4',
    'r1 = 0x0 ll',
    'call bpf_map_lookup_elem#1',
    'if r0 == 0x0 goto pc+5',
    'r6 &= 7',
    'if r7 == 0x0 goto pc+1',
    'r6 &= 3',
    'r0 += r6',
    'r1 = *(u8 *)(r0 +0)',
    'r0 = 0',
    'exit',
  ],
  'a pointer on one path, a number on the other': [
    '*(u32 *)(r10 -4) = 0',
    'r6 = *(u32 *)(r1 +0)',
    'r2 = r10',
    'r2 += -4',
    'r1 = 0x0 ll',
    'call bpf_map_lookup_elem#1',
    'if r0 != 0x0 goto pc+1',
    'r0 = 5',
    'r6 &= 7',
    'r0 += r6',
    'r0 = 0',
    'exit',
  ],
  'out of the value, if the offset were known': [
    '*(u32 *)(r10 -4) = 0',
    'r6 = *(u32 *)(r1 +0)',
    'r2 = r10',
    'r2 += -4',
    'r1 = 0x0 ll',
    'call bpf_map_lookup_elem#1',
    'if r0 == 0x0 goto pc+3',
    'r6 &= 31',
    'r0 += r6',
    'r1 = *(u8 *)(r0 +0)',
    'r0 = 0',
    'exit',
  ],
  'stack that was written on one path only': [
    'r2 = *(u32 *)(r1 +0)',
    'r3 = *(u32 *)(r1 +4)',
    '*(u64 *)(r10 -16) = 0',
    'r0 = 0',
    'if r3 > 0x7 goto pc+1',
    'r0 = 1',
    'if r2 > 0x5 goto pc+2',
    '*(u32 *)(r10 -4) = r2',
    '*(u32 *)(r10 -8) = r2',
    'r4 = 1',
    'r5 = 1',
    'if r3 > 0x9 goto pc+1',
    'r0 = 1',
    'r0 = *(u64 *)(r10 -8)',
    'exit',
  ],
  'stack below all that was written': ['r0 = *(u64 *)(r10 -8)', 'exit'],
  'an atomic operation beside a number, on stack that nobody has written': [
    'r2 = *(u32 *)(r1 +0)',
    '*(u32 *)(r10 -8) = r2',
    'lock *(u32 *)(r10 -4) += r2',
    'r0 = 0',
    'exit',
  ],
  'the same when a register gets what was there': [
    'r2 = *(u32 *)(r1 +0)',
    '*(u32 *)(r10 -8) = r2',
    'r2 = atomic_fetch_add((u32 *)(r10 -4), r2)',
    'r0 = 0',
    'exit',
  ],
  'an address added to memory by an atomic operation': [
    '*(u64 *)(r10 -8) = r10',
    'r0 = 1',
    'lock *(u64 *)(r10 -8) += r0',
    'r0 = 0',
    'exit',
  ],
}

const MAP = mapSpec({ name: 'values', type: 2, keySize: 4, valueSize: 16, maxEntries: 1 })

const self = fileURLToPath(import.meta.url)
if (!process.argv.includes('--here')) {
  const caps = '-all,+bpf,+net_admin'
  const args = ['--bounding-set', caps, '--inh-caps', caps, process.execPath, self, '--here']
  const run = spawnSync('setpriv', args, { encoding: 'utf8', maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'inherit'] })
  if (run.status !== 0) throw new Error(`setpriv ended with status ${run.status}`)
  writeFileSync(`${root}test/vm/golden/verifier-unprivileged.json`, run.stdout)
} else {
  const kernel = openKernelBackend()
  const map = kernel.createMap({ spec: MAP, kernelName: MAP.name, btf: null, inner: null })
  const cases = Object.entries(PROGRAMS).map(([name, lines]) => ask(kernel, map, name, lines.join('\n')))
  map.close()
  kernel.close()
  console.log(JSON.stringify(cases, null, 2))
}

function ask(kernel, map, name, text) {
  const insns = assemble(text)
  const at = insns.code.indexOf(0x18)
  const lateReferences = at < 0 ? [] : [{ kind: 'map', insn: at, map: MAP.name }]
  const program = bareProgram(insns, { name: 'f', type: 1 }, { lateReferences })
  const maps = new Map([[MAP.name, map]])
  const request = { program, license: 'GPL', version: 0, btf: null, maps, bindMaps: [], logLevel: 2 }
  try {
    const loaded = kernel.loadProgram(request)
    loaded.close()
    return { name, text, verdict: 'ok', log: masked(loaded.log) }
  } catch (error) {
    return { name, text, verdict: error.errno, log: masked(error.log) }
  }
}

/** Addresses of maps differ from run to run. */
function masked(log) {
  return log.replace(/0x[0-9a-f]{16}/g, '0x0')
}
