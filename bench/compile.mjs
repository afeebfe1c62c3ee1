// How long it takes to load programs of 100 to 100,000 instructions into the vm's JIT, with all optimisations and in
// quick mode, and into the kernel (its verifier and JIT), in turns in one run; then, how long runs of the largest ones
// take as V8 optimises them. Writes docs/results/bench-compile.json.
// Needs root (or CAP_BPF) and the built package.
//
//   node bench/compile.mjs [ROUNDS]
import { cpus } from 'node:os'
import { assemble } from '../dist/isa/index.js'
import { openKernelBackend } from '../dist/kernel/index.js'
import { createVm } from '../dist/vm/index.js'
import { Side, prepareInsns } from '../test/oracle/fuzz-programs-run.mjs'
import { writeResult } from '../test/oracle/results.mjs'
import { programOfSize } from './compile-programs.mjs'

const SIZES = [100, 300, 1000, 3000, 10_000, 30_000, 100_000]
/** Milliseconds for 1,000 instructions, warm. */
const BARS = { optimised: 2, quick: 1 }
const rounds = Number(process.argv[2] ?? 15)
/** Loads before the first measured one, so that the translator itself is compiled. */
const WARM = 400

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]
const round = (x) => Number(x.toFixed(3))
const geomean = (list) => Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length)

const newVm = (jit) => new Side(`${jit}`, createVm({ verify: false, cpus: 2, jit, memoryLimit: 2 ** 30 }))
const sides = { kernel: new Side('kernel', openKernelBackend()), optimised: newVm(true), quick: newVm('quick') }

/** Milliseconds until a program can run. */
function measure(side, insns) {
  const prepared = prepareInsns('xdp', insns.clone())
  const start = performance.now()
  const program = side.load(prepared)
  const time = performance.now() - start
  program.close()
  return time
}

for (let i = 0; i < WARM; i++) {
  const insns = assemble(programOfSize(500, i))
  for (const side of [sides.optimised, sides.quick]) measure(side, insns)
}
const rows = SIZES.map((size) => {
  const insns = assemble(programOfSize(size))
  const times = { kernel: [], optimised: [], quick: [] }
  const count = Math.max(5, Math.min(rounds * 4, Math.ceil((rounds * 20_000) / size)))
  // Small programs several times in a row: the kernel's turn leaves nothing of the translator in the caches.
  const inRow = Math.max(1, Math.min(8, Math.floor(4000 / size)))
  for (let i = 0; i < count; i++)
    for (const [name, side] of Object.entries(sides))
      for (let k = 0; k < inRow; k++) times[name].push(measure(side, insns))
  const best = (name) => Math.min(...times[name])
  const per1000 = (ms) => round((ms / insns.length) * 1000)
  const row = {
    insns: insns.length,
    kernelMs: round(best('kernel')),
    optimisedMs: round(best('optimised')),
    quickMs: round(best('quick')),
    optimisedPer1000: per1000(best('optimised')),
    medianPer1000: per1000(median(times.optimised)),
    quickPer1000: per1000(best('quick')),
    ratio: round(best('optimised') / best('kernel')),
  }
  console.log(JSON.stringify(row))
  return row
})
/** Time of a run of a program that was just loaded: in baseline code, and what it comes down to within SETTLE ms. */
const SETTLE = 8000
const settled = [30_000, 100_000].map((size) => {
  const prepared = () => prepareInsns('xdp', insns.clone())
  const insns = assemble(programOfSize(size))
  const data = Uint8Array.from({ length: 128 }, (_, i) => (i * 37) & 0xff)
  const repeat = Math.ceil(2e6 / size)
  const program = sides.optimised.load(prepared())
  const times = []
  const start = performance.now()
  for (let now = start; now - start < SETTLE;) {
    program.run({ data, repeat })
    const end = performance.now()
    times.push(((end - now) / repeat) * 1000)
    now = end
  }
  program.close()
  const inKernel = sides.kernel.load(prepared())
  const kernel = Math.min(...Array.from({ length: 20 }, () => inKernel.run({ data, repeat: repeat * 5 }).durationNs))
  inKernel.close()
  const best = Math.min(...times)
  const row = {
    insns: insns.length,
    kernelUs: round(kernel / 1000),
    firstUs: round(median(times.slice(0, 5))),
    settledUs: round(best),
    ratio: round(best / (kernel / 1000)),
    // Until runs take no more than half as long again.
    runs: repeat * times.findIndex((time) => time < best * 1.5),
  }
  console.log(JSON.stringify(row))
  return row
})
// What a module of any size takes is measured by the small ones; the bars are for 1,000 instructions and more.
const large = rows.filter((row) => row.insns > 900)
const worst = (key) => Math.max(...large.map((row) => row[key]))
writeResult('bench-compile', {
  processors: cpus().length,
  rounds,
  // Against the kernel's verifier and JIT, as a geometric mean over the sizes.
  ratio: round(geomean(rows.map((row) => row.ratio))),
  bars: BARS,
  ratioToBar: round(worst('optimisedPer1000') / BARS.optimised),
  quickRatioToBar: round(worst('quickPer1000') / BARS.quick),
  rows,
  settled,
})
