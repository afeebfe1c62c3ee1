// Runs in a kernel booted by indirect-jumps.mjs: loads and runs the generated programs, and writes what they return to
// out/runs.json; also what the kernel says to wrong instruction arrays, to out/maps.json.
import { writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { assemble } from './dist/isa/index.js'
import { openKernelBackend } from './dist/kernel/index.js'
import { PROGRAMS, runJumps } from './indirect-jumps-run.mjs'
import { insnArrayOutcomes } from './insn-array-cases.mjs'

const backend = openKernelBackend()
const programs = {}
const refused = {}
for (let seed = 0; seed < PROGRAMS; seed++) {
  const results = runJumps(seed, backend, assemble)
  if (typeof results === 'string') refused[seed] = results.slice(0, 2000)
  else programs[seed] = results
}
writeFileSync('out/runs.json', JSON.stringify({ release: release(), programs, refused }))
writeFileSync('out/maps.json', JSON.stringify(insnArrayOutcomes(backend, assemble)))
backend.close()
