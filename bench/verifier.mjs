// Verification time against the kernel's own ("verification time N usec" in its log), log off on both sides, over all
// selftest programs that cost more than 1,000 instructions. Writes docs/results/bench-verifier.json.
//
//   node bench/verifier.mjs [ROUNDS] [--only SUBSTRING]
//
// Every round has the kernel verify all programs of an object, then elfbee the ones that are compared; the smallest
// times of all rounds count: those of a machine that did nothing else. The limits: median ratio 4, worst ratio of
// programs over 100,000 instructions 6, and a heap under 200 MB for 1,000,000 instructions.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { corpus } from '../test/oracle/lib/verifier-corpus.mjs'
import { oracleDir, root, writeResult } from '../test/oracle/results.mjs'

const args = process.argv.slice(2)
const rounds = Number(args[0] ?? 5) || 5
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : null
const dir = oracleDir()
const MINIMUM = 1000
const LARGE = 100_000

/** Programs to compare, by object. */
const objects = new Map()
for (const program of corpus(dir, only)) {
  const result = program.run()
  if ((result.stats?.insnsProcessed ?? 0) <= MINIMUM || result.ok !== program.verdict.ok) continue
  if (!objects.has(program.file)) objects.set(program.file, [])
  objects.get(program.file).push({ ...program, insns: result.stats.insnsProcessed, ours: [], theirs: [] })
}

for (let round = 0; round < rounds; round++) {
  for (const [file, programs] of objects) {
    const times = kernelTimes(file)
    for (const p of programs) {
      const theirs = times.get(p.verdict.prog)
      if (theirs !== undefined) p.theirs.push(theirs)
      p.ours.push(p.run().ms)
    }
  }
}

/** The kernel's times for all programs of an object, in milliseconds. */
function kernelTimes(file) {
  const out = mkdtempSync(join(tmpdir(), 'elfbee-bench-'))
  const times = new Map()
  try {
    spawnSync(`${dir}/load-dump`, ['--log', '4', out, `${dir}/objs/${file}`], { stdio: 'ignore' })
    for (const p of objects.get(file)) {
      const log = readFileSync(join(out, file, `${p.verdict.prog}.log`), 'utf8')
      times.set(p.verdict.prog, Number(/verification time (\d+) usec/.exec(log)[1]) / 1000)
    }
  } finally {
    rmSync(out, { recursive: true })
  }
  return times
}

/** Heap that a process has in use after a million instructions of a loop whose states are all still alive, in MB. */
function heapOfMillion() {
  const code = `
    const { assemble } = await import('${root}dist/isa/index.js')
    const { verify } = await import('${root}dist/vm/verifier/index.js')
    const insns = assemble('r1 = 0\\nr1 += 1\\nif r1 < 0x7fffffff goto pc-2\\nr0 = 0\\nexit')
    const spec = { name: 'p', section: 'xdp', functionIndex: 0, type: 6, attachType: null, flags: 0, attachTarget: null }
    const functions = [{ name: 'p', start: 0, btfId: 0 }]
    const program = { spec, insns, functions, lateReferences: [], lines: [], core: [] }
    const { stats } = verify(program, { maps: {}, btf: null, kernelBtf: null, license: 'GPL' })
    console.log(JSON.stringify({ insns: stats.insnsProcessed, heap: process.memoryUsage().heapUsed }))`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  const { insns, heap } = JSON.parse(stdout)
  if (insns < 1e6) throw new Error('the loop ended early')
  return Math.round(heap / 1e6)
}

const round2 = (value) => Math.round(value * 100) / 100
const rows = [...objects.values()]
  .flat()
  .map(({ file, verdict, insns, ours, theirs }) => {
    const elfbeeMs = Math.min(...ours)
    const kernelMs = Math.min(...theirs)
    const ratio = round2(elfbeeMs / kernelMs)
    return { program: `${file}/${verdict.prog}`, insns, elfbeeMs: round2(elfbeeMs), kernelMs: round2(kernelMs), ratio }
  })
  .sort((a, b) => a.ratio - b.ratio)
const ratio = rows[rows.length >> 1]?.ratio
const worstLarge = Math.max(...rows.filter((r) => r.insns > LARGE).map((r) => r.ratio))
const heapMb = heapOfMillion()
for (const r of rows)
  console.log(`${r.ratio}\t${r.insns} insns\t${r.elfbeeMs} ms, kernel ${r.kernelMs} ms\t${r.program}`)
console.log(`worst of over ${LARGE} instructions: ${worstLarge}; heap for 1,000,000: ${heapMb} MB`)
if (only === null) writeResult('bench-verifier', { rounds, limit: 4, ratio, worstLarge, worstLimit: 6, heapMb, rows })
