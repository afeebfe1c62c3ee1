// Random operations on maps by programs, in runs of 32: results, records and contents must be the same in the kernel, in
// the vm's JIT and in its interpreter (test/contract/map-operations.mjs).
//
//   node test/oracle/map-operations.mjs [RUNS [PATTERN]]   writes docs/results/map-operations.json (not with a pattern)
import { readFileSync } from 'node:fs'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { load, openObject } from '../../dist/loader/index.js'
import { createVm } from '../../dist/vm/index.js'
import { OPS, OWN_RESULTS, comparable, contentsFor, operations, performed } from '../contract/map-operations.mjs'
import { root, writeResult } from './results.mjs'
import { pinToOneCpu } from './vm-vs-kernel-runs.mjs'

pinToOneCpu()
const RUNS = Number(process.argv[2] ?? 2000)
const pattern = process.argv[3] === undefined ? null : new RegExp(process.argv[3])
/** Runs between two looks at all that is in the map. */
const BETWEEN_CONTENTS = 20
/** Runs on one set of maps. */
const RUNS_PER_LOAD = 200

const bytes = new Uint8Array(readFileSync(`${root}test/contract/objects/map_operations.bpf.o`))
const differences = []
let total = 0
let equal = 0
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)

for (let first = 0; first < RUNS; first += RUNS_PER_LOAD) {
  const sides = {}
  for (const [name, backend] of [
    ['kernel', openKernelBackend()],
    ['jit', createVm({ verify: false })],
    ['interpreter', createVm({ verify: false, jit: false })],
  ]) {
    sides[name] = await load(openObject(bytes, { name: 'map_operations' }), backend)
  }
  for (const program of Object.keys(sides.jit.programs)) {
    if (pattern !== null && !pattern.test(program)) continue
    for (let run = first; run < Math.min(RUNS, first + RUNS_PER_LOAD); run++) {
      const packet = operations(run + 1)
      const [kernel, jit, interpreter] = ['kernel', 'jit', 'interpreter'].map((name) => {
        const side = sides[name]
        const contents = run % BETWEEN_CONTENTS === 0 ? contentsFor(side, program) : []
        return { contents, ...performed(side, program, packet) }
      })
      const shared = (what) => ({ ...what, results: comparable(program, packet, what.results) })
      total += OPS
      const agree = same(jit, interpreter) && (OWN_RESULTS.has(program) || same(shared(kernel), shared(jit)))
      if (agree) equal += OPS
      else differences.push({ program, seed: run + 1, jit: same(jit, interpreter) ? 'as interpreter' : 'other' })
      // Whatever comes after has other maps to start from.
      if (!agree) break
    }
  }
  for (const side of Object.values(sides)) side.close()
}
for (const difference of differences) console.log(JSON.stringify(difference))
if (pattern === null) writeResult('map-operations', { equal, total, differences })
else console.log(`${equal} of ${total}`)
if (differences.length > 0) process.exitCode = 1
