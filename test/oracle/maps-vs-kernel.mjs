// The contract of maps (test/contract/map-cases.mjs) in the kernel, in the vm's JIT and in its interpreter: creation of
// every map type with good and bad attributes, and every operation from user space and from programs.
//
//   node test/oracle/maps-vs-kernel.mjs [--bless] [FILTER]    writes docs/results/maps-vs-kernel.json (not with FILTER)
//
// --bless writes test/contract/map-cases-golden.json, the kernel's answers, which the tests compare with.
import { readFileSync, writeFileSync } from 'node:fs'
import { assemble } from '../../dist/isa/index.js'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { bareProgram, mapSpec, openObject } from '../../dist/loader/index.js'
import { createVm } from '../../dist/vm/index.js'
import { isRecorded, mapCases, packed, runMapCase } from '../contract/map-cases.mjs'
import { mapEnvironment, vmDescriptors } from '../contract/map-environment.mjs'
import { root, writeResult } from './results.mjs'
import { kernelDescriptors } from './maps-vs-kernel-descriptors.mjs'
import { pinToOneCpu } from './vm-vs-kernel-runs.mjs'

pinToOneCpu()

const args = process.argv.slice(2)
const bless = args.includes('--bless')
const filter = args.find((arg) => !arg.startsWith('--')) ?? ''
const SHOWN = 60

const kernel = openKernelBackend()
const locked = openObject(readFileSync(new URL('../contract/objects/maps.bpf.o', import.meta.url)))
const backends = {
  kernel,
  jit: createVm({ verify: false, cpus: kernel.cpus, jit: true }),
  interpreter: createVm({ verify: false, cpus: kernel.cpus, jit: false }),
}
const opened = await kernelDescriptors()
const environments = Object.entries(backends).map(([name, backend]) => [
  name,
  mapEnvironment(
    { assemble, bareProgram, mapSpec },
    backend,
    locked,
    name === 'kernel' ? opened.descriptors : vmDescriptors(backend),
  ),
])

let total = 0
let equal = 0
let refused = 0
const types = {}
const differences = []
const golden = {}
for (const each of mapCases()) {
  if (!each.name.includes(filter)) continue
  const results = {}
  for (const [name, env] of environments) results[name] = runMapCase(env, each, results.kernel)
  if (isRecorded(each)) golden[each.name] = packed(results.kernel)
  const steps = ['create', ...each.steps]
  // The kernel's types alone: those of later kernels than the running one are EINVAL.
  for (let i = 0; i < results.kernel.length; i++) {
    const expected = results.kernel[i]
    if (expected === 'refused') {
      refused++
      continue
    }
    total++
    types[each.type] = (types[each.type] ?? 0) + 1
    const got = [results.jit[i], results.interpreter[i]]
    if (got[0] === expected && got[1] === expected) equal++
    else
      differences.push({
        case: each.name,
        step: steps[i],
        number: i,
        kernel: expected,
        vm: got[0] === got[1] ? got[0] : got,
      })
  }
}
for (const backend of Object.values(backends)) backend.close()
opened.close()

for (const each of differences.slice(0, filter === '' ? 5 : 200)) console.log(JSON.stringify(each))
if (bless) writeFileSync(`${root}/test/contract/map-cases-golden.json`, `${JSON.stringify(golden, null, 2)}\n`)
if (filter === '' && !args.includes('--dry')) {
  writeResult('maps-vs-kernel', {
    equal,
    total,
    mapTypes: Object.keys(types).length,
    refusedByTheVerifier: refused,
    allowed: [
      'hash order: keys of hashes are compared as sets (the kernel seeds its hash function)',
      'LRU eviction: maps are not filled beyond a part of their size (the kernel takes batches of 128 from lists of each CPU)',
    ],
    differences: differences.slice(0, SHOWN),
  })
} else {
  const counts = {}
  for (const { case: name } of differences) counts[name.split(':')[0]] = (counts[name.split(':')[0]] ?? 0) + 1
  console.log(counts)
  writeFileSync(process.env.MAPS_DIFFERENCES ?? '/dev/null', differences.map((d) => JSON.stringify(d)).join('\n'))
}
console.log(`maps-vs-kernel: ${equal} of ${total}`)
process.exitCode = equal === total ? 0 : 1
