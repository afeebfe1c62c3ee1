// Runs random programs that the verifier accepts, and compares every register before every instruction with what was
// proved of it: no number may be outside of its range, none of its known bits may differ, and no access may trap.
//
//   node test/oracle/verifier-run-fuzz.mjs [--seed N] [--count N] [--inputs N]
//
// Where a path ended because an earlier one covered it, only what mattered for safety holds behind that point: registers
// are compared until a run comes there. Behind it, runs are followed for traps, for accesses that are said to be good (src/vm/facts.ts), and for instructions that no path
// comes to, as all are.
import { vmlinuxBtf } from '../../dist/kernel/index.js'
import { decode } from '../../dist/isa/index.js'
import { factsOf, Outcome } from '../../dist/vm/facts.js'
import { GUARD_SIZE, createVm } from '../../dist/vm/index.js'
import { verify } from '../../dist/vm/verifier/index.js'
import { writeResult } from './results.mjs'
import { generator, MAP, randomProgram, randomSteps } from './verifier-fuzz-generate.mjs'

const args = process.argv.slice(2)
const option = (name, otherwise) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : otherwise)
const first = option('--seed', 1)
const count = option('--count', 2000)
const inputs = option('--inputs', 10)
const kernelBtf = vmlinuxBtf()
const vm = createVm({ verify: false, jit: false, cpus: 2, btf: kernelBtf })
const map = vm.createMap({ spec: MAP, kernelName: 'values', btf: null, inner: null })
const holds = ({ range, value }, number) =>
  value !== null
    ? BigInt.asUintN(64, value) === number
    : number >= range.umin &&
      number <= range.umax &&
      BigInt.asIntN(64, number) >= range.smin &&
      BigInt.asIntN(64, number) <= range.smax &&
      (number & ~BigInt.asUintN(64, range.unknown)) === BigInt.asUintN(64, range.bits)

/** Whether one of the states that the verifier had at an instruction is that of a step. */
function isProved(states, step) {
  return (states ?? []).some((registers) =>
    registers.every((known, i) => known === null || known.kind !== 'scalar' || holds(known, step.registers[i])),
  )
}

/** Longer walks are not kept: the memory of a million states is what would be tested. */
const MOST_STATES = 50_000

/** The registers that the verifier had at each instruction, and where paths ended because another one covered them. */
function statesOf(program, options) {
  const states = new Map()
  const onInstruction = ({ insn, frames }) => {
    if (!states.has(insn)) states.set(insn, [])
    states.get(insn).push(frames.at(-1).registers)
  }
  const { log } = verify(program, { ...options, onInstruction, logLevel: 2 })
  return { states, covered: new Set(Array.from(log.matchAll(/(\d+): safe$/gm), ([, insn]) => Number(insn))) }
}

/** All that the vm has allocated lies below. */
const LOW_MEMORY = 16 << 20

/** Whether an access that needs no check is one that would have passed it. */
function isGood(insns, { goodAccess }, step) {
  if (goodAccess[step.insn] === 0) return true
  const op = decode(insns, step.insn)
  const base = op.kind === 'load' || op.kind === 'loadAcquire' ? op.src : op.dst
  const address = BigInt.asUintN(64, step.registers[base] + BigInt(op.off))
  return address >= BigInt(GUARD_SIZE) && address < BigInt(LOW_MEMORY)
}

const started = Date.now()
function progress(seed) {
  const rate = Math.round(counts.programs / ((Date.now() - started) / 1000))
  console.error(`${counts.programs} programs, ${differences.length} differ, ${rate}/s, next seed ${seed + 1}`)
}

const differences = []
const counts = {
  programs: 0,
  compared: 0,
  whole: 0,
  comparedSteps: 0,
  runs: 0,
  steps: 0,
  unproved: 0,
  proved: 0,
  bad: 0,
  dead: 0,
  outcomes: 0,
  traps: 0,
}
for (let seed = first; counts.programs < count; seed++) {
  const random = generator(seed)
  const program = randomProgram(randomSteps(random), kernelBtf)
  const options = { facts: true, maps: { values: MAP }, btf: null, kernelBtf, license: 'GPL', cpus: 2 }
  const result = verify(program, options)
  if (!result.ok) continue
  counts.programs++
  if (counts.programs % 1000 === 0) progress(seed)
  const facts = factsOf(result.facts, program.insns, program.spec.type)
  counts.outcomes += facts.outcome.filter((outcome) => outcome !== Outcome.OPEN).length
  const proved = result.stats.insnsProcessed > MOST_STATES ? null : statesOf(program, options)
  if (proved !== null) counts.compared++
  if (proved?.covered.size === 0) counts.whole++
  const request = { program, license: 'GPL', version: 0, btf: null, maps: new Map([['values', map]]), bindMaps: [] }
  const loaded = vm.loadProgram({ ...request, logLevel: 0, instrument: 'trace' })
  for (let i = 0; i < inputs; i++) {
    const data = Uint8Array.from({ length: 14 + Math.floor(random() * 100) }, () => Math.floor(random() * 256))
    counts.runs++
    loaded.resetInstruments()
    try {
      loaded.run({ data })
    } catch (error) {
      counts.traps++
      console.log(`TRAP: seed ${seed}: ${error.message}`)
      differences.push({ seed, trap: error.message })
      break
    }
    const steps = loaded.steps()
    counts.steps += steps.length
    counts.proved += steps.filter(({ insn }) => facts.goodAccess[insn] === 1).length
    const dead = steps.find(({ insn }) => facts.reached[insn] === 0)
    if (dead !== undefined) {
      counts.dead++
      console.log(`UNREACHED: seed ${seed}: insn ${dead.insn}`)
      differences.push({ seed, unreached: dead.insn })
      break
    }
    const bad = steps.find((step) => !isGood(program.insns, facts, step))
    if (bad !== undefined) {
      counts.bad++
      console.log(`BAD ACCESS: seed ${seed}: insn ${bad.insn}: ${[...bad.registers].join(' ')}`)
      differences.push({ seed, badAccess: bad.insn })
      break
    }
    if (proved === null) continue
    const end = steps.findIndex(({ insn }) => proved.covered.has(insn))
    const followed = end < 0 ? steps : steps.slice(0, end)
    counts.comparedSteps += followed.length
    const wrong = followed.find((step) => !isProved(proved.states.get(step.insn), step))
    if (wrong === undefined) continue
    counts.unproved++
    differences.push({ seed, unproved: wrong.insn })
    console.log(`UNPROVED: seed ${seed}: insn ${wrong.insn}: ${[...wrong.registers].join(' ')}`)
    break
  }
  loaded.close()
}
console.log(JSON.stringify(counts))
const equal = counts.programs - counts.unproved - counts.bad - counts.dead - counts.traps
if (count >= 10_000)
  writeResult('verifier-run-fuzz', { equal, total: counts.programs, ...counts, inputs, first, differences })
else console.log(`verifier-run-fuzz: ${equal} of ${counts.programs}`)
vm.close()
process.exitCode = equal === counts.programs ? 0 : 1
