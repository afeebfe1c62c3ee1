// Writes test/vm/golden/verifier-logs.json: small programs with the log that the running kernel gives for them.
//
//   node test/oracle/verifier-log-bless.mjs
//
// Needs root, Linux 6.18, and the addon.
import { writeFileSync } from 'node:fs'
import { assemble } from '../../dist/isa/index.js'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { bareProgram } from '../../dist/loader/index.js'
import { root } from './results.mjs'

const PROGRAMS = {
  'branches and spills': [
    'r0 = *(u32 *)(r1 +4)',
    'if r0 > 0x10 goto pc+3',
    '*(u64 *)(r10 -8) = r0',
    'r2 = *(u64 *)(r10 -8)',
    'r0 = r2',
    'r0 &= 1',
    'exit',
  ],
  'what the frame pointer and a number add up to': [
    'r2 = 4',
    'call bpf_get_prandom_u32#7',
    'r0 &= 7',
    'r3 = r10',
    'r3 -= r0',
    '*(u8 *)(r3 -1) = 5',
    'r0 = 0',
    'exit',
  ],
  'a loop that ends': ['r0 = 0', 'r0 += 1', 'if r0 < 0x4 goto pc-2', 'exit'],
  'an endless loop': ['r0 = 0', 'if r0 == 0x0 goto pc-1', 'exit'],
  'a function': ['r1 = 5', 'call pc+1', 'exit', 'r0 = r1', 'r0 <<= 3', 'if r0 s> 0x20 goto pc+1', 'r0 = 1', 'exit'],
  'an unread register': ['r0 = r7', 'exit'],
}

const kernel = openKernelBackend()
const cases = []
for (const [name, lines] of Object.entries(PROGRAMS)) {
  for (const level of [1, 2]) {
    const text = lines.join('\n')
    const program = bareProgram(assemble(text), { name: 'f', type: 3 })
    const request = { program, license: 'GPL', version: 0, btf: null, maps: new Map(), bindMaps: [], logLevel: level }
    let log
    try {
      const loaded = kernel.loadProgram(request)
      log = loaded.log
      loaded.close()
    } catch (error) {
      log = error.log
    }
    cases.push({ name, level, text, log })
  }
}
kernel.close()
writeFileSync(`${root}test/vm/golden/verifier-logs.json`, JSON.stringify(cases, null, 2) + '\n')
