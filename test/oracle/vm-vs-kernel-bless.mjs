// Records what the kernel does with fixture programs, so that the vm is compared with it where there is no kernel too
// (test/vm/kernel-golden.test.ts): a few inputs for each program that needs nothing of the kernel's BTF.
//
//   node test/oracle/vm-vs-kernel-bless.mjs    writes test/vm/golden/kernel-runs.json and helpers.bpf.o
import { mkdirSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { load, openObject } from '../../dist/loader/index.js'
import { createVm } from '../../dist/vm/index.js'
import { root } from './results.mjs'
import { generator } from './vm-inputs.mjs'
import {
  CONTEXTS,
  EXCLUDED,
  HELPERS,
  PACKETS,
  hex,
  makeInput,
  mapsOf,
  objectsOf,
  pinToOneCpu,
  runOne,
  seedOf,
} from './vm-vs-kernel-runs.mjs'

pinToOneCpu()

const RUNS = 6
/** Keeps the file small. */
const MAX_BYTES = 400

const kernel = openKernelBackend()

/** Runs on a backend: results and the maps afterwards; null when the program does not load. */
async function record(backend, bytes, object, program, inputs) {
  const spec = openObject(bytes, { name: object })
  spec.programs[program].autoload = true
  const loaded = await load(spec, backend, {})
  try {
    if (loaded.programs[program] === undefined) return null
    mapsOf(loaded, object)
    if (program !== 'fill_example') loaded.programs.fill_example?.run({ data: new Uint8Array(64) })
    const results = inputs.map((input) => runOne(loaded.programs[program], input))
    const maps = mapsOf(loaded, object)
    for (const name of Object.keys(maps))
      if (maps[name] === null || JSON.stringify(maps[name]).length > 2000) delete maps[name]
    return { results, maps }
  } finally {
    loaded.close()
  }
}

const programs = []
const objects = objectsOf(['clang19'])
if (!objects.some(({ name }) => name === HELPERS)) process.exit(1)
for (const { name: object, bytes } of objects) {
  if (object === HELPERS) {
    mkdirSync(`${root}test/vm/golden`, { recursive: true })
    writeFileSync(`${root}test/vm/golden/helpers.bpf.o`, bytes)
  }
  for (const { name, type } of Object.values(openObject(bytes, { name: object }).programs)) {
    if (EXCLUDED[name] !== undefined || (!PACKETS.has(type) && !CONTEXTS.has(type))) continue
    const r = generator(seedOf(`golden ${object}/${name}`))
    const inputs = []
    while (inputs.length < RUNS) {
      const input = makeInput(r, type, object === HELPERS)
      if ((input.data?.length ?? 0) <= MAX_BYTES) inputs.push(input)
    }
    const expected = await record(kernel, bytes, object, name, inputs)
    if (expected === null) continue
    const vm = createVm({ verify: false, cpus: kernel.cpus })
    const got = await record(vm, bytes, object, name, inputs)
    vm.close()
    if (JSON.stringify(got) !== JSON.stringify(expected)) {
      console.log(`left out, needs more than the vm alone: ${object}/${name}`)
      continue
    }
    const runs = inputs.map((input, i) => ({
      ...(input.data === undefined ? {} : { data: hex(input.data) }),
      ...(input.ctx === undefined ? {} : { ctx: hex(input.ctx) }),
      ...(input.repeat === undefined ? {} : { repeat: input.repeat }),
      result: expected.results[i],
    }))
    programs.push({ object, program: name, runs, maps: expected.maps })
  }
}
const golden = { kernel: release(), cpus: kernel.cpus, programs }
writeFileSync(`${root}test/vm/golden/kernel-runs.json`, JSON.stringify(golden) + '\n')
kernel.close()
console.log(`${programs.length} programs recorded`)
