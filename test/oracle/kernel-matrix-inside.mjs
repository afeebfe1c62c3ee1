// Runs in a kernel booted by kernel-matrix.mjs: loads each program of the objects beside it alone, and writes how far it
// comes to out/elfbee.jsonl, with what the kernel can.
import { appendFileSync, readdirSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { hasFeature, KERNEL_FEATURES, openKernelBackend } from './dist/kernel/index.js'
import { load, openObject } from './dist/loader/index.js'

const write = (line) => appendFileSync('out/elfbee.jsonl', `${JSON.stringify(line)}\n`)
const backend = openKernelBackend()
for (const folder of ['clang14', 'clang19']) {
  for (const name of readdirSync(folder).sort()) {
    const obj = `${folder}/${name}`
    const bytes = new Uint8Array(readFileSync(obj))
    let names = [undefined]
    try {
      names = Object.keys(openObject(bytes, { name }).programs)
    } catch (error) {
      write({ obj, prog: undefined, outcome: { stage: 'open', message: error.message } })
      continue
    }
    for (const prog of names) write({ obj, prog, outcome: await outcomeOf(bytes, name, prog) })
  }
}
write({ release: release(), features: Object.fromEntries(KERNEL_FEATURES.map(({ name }) => [name, hasFeature(name)])) })
backend.close()

async function outcomeOf(bytes, name, prog) {
  const spec = openObject(bytes, { name })
  for (const program of Object.values(spec.programs)) program.autoload = program.name === prog
  try {
    const live = await load(spec, backend, {})
    live.close()
    const { status, error } = live.report.programs.find((program) => program.name === prog)
    return status === 'loaded' ? { stage: 'loaded' } : describe(error)
  } catch (error) {
    return describe(error)
  }
}

function describe(error) {
  const isKernels = error.code === 'verifier' || (error.code === 'syscall' && error.message.includes('BPF_PROG_LOAD'))
  return { stage: isKernels ? 'load' : 'prepare', message: error.message.slice(0, 400) }
}
