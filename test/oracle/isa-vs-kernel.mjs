// Every instruction on edge values in the kernel, in the vm's JIT and in its interpreter; see isa-vs-kernel-cases.mjs.
//
//   node test/oracle/isa-vs-kernel.mjs [--bless] [FILTER]    writes docs/results/isa-vs-kernel.json (not with FILTER)
//
// --bless writes isa-vs-kernel-golden.json, the kernel's answers to some of them, which the tests compare with.
import { writeFileSync } from 'node:fs'
import { isBpfError } from '../../dist/bytes/index.js'
import { OPCODES, assemble, formAt } from '../../dist/isa/index.js'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { createVm } from '../../dist/vm/index.js'
import { Side, hex, prepareInsns } from './fuzz-programs-run.mjs'
import { batches, context, testPacket } from './isa-vs-kernel-cases.mjs'
import { root, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const bless = args.includes('--bless')
const filter = args.find((arg) => !arg.startsWith('--')) ?? ''
const SHOWN = 20
/** Of the runs of a batch that are recorded for the tests. */
const RECORDED = 3

const prepareText = (type, text) => prepareInsns(type, assemble(text))
const backend = openKernelBackend()
const kernel = new Side('kernel', backend)
const vms = [true, false].map(
  (jit) => new Side(jit ? 'jit' : 'interpreter', createVm({ verify: false, cpus: backend.cpus, jit })),
)

/** Results of all runs, one list of words (hexadecimal) each; a string when the program does not load. */
function results(side, batch) {
  let program
  try {
    program = side.load(prepareText(batch.type, batch.text))
  } catch (error) {
    if (!isBpfError(error)) throw error
    return error.message.trim().split('\n')[0]
  }
  try {
    return batch.runs.map((pair) => {
      if (batch.type === 'tc') {
        side.reset()
        const { retval } = program.run({ data: testPacket() })
        return [`${retval} ${hex(side.maps.get('data').lookup(new Uint8Array(4)).subarray(0, 8))}`]
      }
      side.maps.get('data').update(new Uint8Array(4), new Uint8Array(128))
      const { ctx } = program.run({ ctx: context(batch, pair) })
      return hex(ctx.subarray(16)).match(/.{16}/g)
    })
  } finally {
    program.close()
  }
}

let cases = 0
let equal = 0
let inKernel = 0
const seen = new Set()
const differences = []
const refusals = {}
const golden = []
let number = 0
for (const batch of batches()) {
  if (!batch.name.includes(filter)) continue
  const { insns } = prepareText(batch.type, batch.text)
  for (let at = 0; at < insns.length; at++) {
    seen.add(formAt(insns, at).mnemonic)
    if (insns.code[at] === 0x18) at++
  }
  const fromKernel = results(kernel, batch)
  const [jit, interpreter] = vms.map((side) => results(side, batch))
  const refused = typeof fromKernel === 'string'
  if (refused) refusals[batch.name] = fromKernel
  const expected = refused ? interpreter : fromKernel
  batch.runs.forEach((pair, run) => {
    for (let i = 0; i < batch.fragments; i++) {
      cases++
      const want = typeof expected === 'string' ? expected : expected[run][i]
      const got = [jit, interpreter].map((all) => (typeof all === 'string' ? all : all[run][i]))
      if (got[0] === want && got[1] === want && typeof expected !== 'string') {
        equal++
        if (!refused) inKernel++
      } else if (differences.length < SHOWN) {
        const operands = pair.map((value) => value.toString(16))
        differences.push({
          batch: batch.name,
          fragment: i,
          operands,
          kernel: refused ? 'refused' : want,
          jit: got[0],
          interpreter: got[1],
        })
      }
    }
  })
  if (!refused) {
    const step = Math.max(1, Math.floor(batch.runs.length / RECORDED))
    // Constants have many batches of one run each.
    if (batch.runs.length > 1 || number++ % 12 === 0) {
      const runs = batch.runs.map((_, i) => i).filter((i) => i % step === 0)
      golden.push({ name: batch.name, runs: runs.map((run) => ({ run, words: fromKernel[run] })) })
    }
  }
}
const forms = OPCODES.filter((row) => row !== null).flatMap((row) => row.forms.map((form) => form.mnemonic))
const notCovered = forms.filter((name) => !seen.has(name))
if (bless) {
  const path = `${root}test/oracle/isa-vs-kernel-golden.json`
  writeFileSync(path, `[\n${golden.map((g) => JSON.stringify(g)).join(',\n')}\n]\n`)
}
for (const difference of differences) console.log(difference)
if (filter === '') {
  writeResult('isa-vs-kernel', {
    equal,
    total: cases,
    inKernel,
    onlyInTheVm: cases - inKernel,
    forms: `${forms.length - notCovered.length} of ${forms.length}`,
    formsNotCovered: notCovered,
    refusedByTheVerifier: refusals,
    differences,
  })
} else console.log(`isa-vs-kernel: ${equal} of ${cases} (${inKernel} in the kernel)`, refusals)
for (const side of vms) side.backend.close()
kernel.close()
backend.close()
process.exitCode = equal === cases ? 0 : 1
