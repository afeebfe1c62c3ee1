// Runs random programs that the verifier accepts, and compares every register before every instruction with what was
// proved of it: no number may be outside of its range, none of its known bits may differ, and no access may trap.
//
//   node test/oracle/verifier-run-fuzz.mjs [--seed N] [--count N] [--inputs N]
//
// Where a path ended because an earlier one covered it, only what mattered for safety holds behind that point: such
// programs are run for traps alone.
import { vmlinuxBtf } from '../../dist/kernel/index.js'
import { createVm } from '../../dist/vm/index.js'
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

const differences = []
const counts = { programs: 0, compared: 0, runs: 0, steps: 0, unproved: 0, traps: 0 }
for (let seed = first; counts.programs < count; seed++) {
  const random = generator(seed)
  const program = randomProgram(randomSteps(random), kernelBtf)
  const states = new Map()
  const onInstruction = ({ insn, frames }) => {
    if (!states.has(insn)) states.set(insn, [])
    states.get(insn).push(frames.at(-1).registers)
  }
  const options = { maps: { values: MAP }, btf: null, kernelBtf, license: 'GPL', cpus: 2, logLevel: 2 }
  const result = verify(program, { ...options, onInstruction })
  if (!result.ok) continue
  counts.programs++
  const isWhole = !/: safe$/m.test(result.log)
  if (isWhole) counts.compared++
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
    if (!isWhole) continue
    const steps = loaded.steps()
    counts.steps += steps.length
    const wrong = steps.find((step) => !isProved(states.get(step.insn), step))
    if (wrong === undefined) continue
    counts.unproved++
    differences.push({ seed, unproved: wrong.insn })
    console.log(`UNPROVED: seed ${seed}: insn ${wrong.insn}: ${[...wrong.registers].join(' ')}`)
    break
  }
  loaded.close()
}
console.log(JSON.stringify(counts))
const equal = counts.programs - counts.unproved - counts.traps
if (count >= 10_000)
  writeResult('verifier-run-fuzz', { equal, total: counts.programs, ...counts, inputs, first, differences })
else console.log(`verifier-run-fuzz: ${equal} of ${counts.programs}`)
vm.close()
process.exitCode = counts.unproved + counts.traps === 0 ? 0 : 1
