// CO-RE against made-up kernels: libbpf's own relocation tests come with target BTFs that differ from the types of the
// test programs in every way that matters. Each test object is relocated against each of the targets by both sides;
// programs that libbpf refuses must be refused, too.
//
//   node test/oracle/core-vs-libbpf-targets.mjs
//
// Needs core-dump and objs/ of the oracle directory. Writes docs/results/core-vs-libbpf-targets.json.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { Btf } from '../../dist/btf/index.js'
import { parseElf } from '../../dist/elf/index.js'
import { openObject, prepare } from '../../dist/loader/index.js'
import { kernelFacts, programDifference } from './lib/core-compare.mjs'
import { oracleDir, writeResult } from './results.mjs'

const dir = oracleDir()
const files = readdirSync(`${dir}/objs`)
const objects = files.filter((name) => /^test_core_reloc_.*\.o$/.test(name))
const targets = files.filter((name) => /^btf__core_reloc_.*\.o$/.test(name))
const kernelBtf = Btf.parse(read('/sys/kernel/btf/vmlinux'))
const kconfig = kernelFacts()

const differences = []
let equal = 0
let total = 0
let refused = 0
for (const target of targets) {
  const section = parseElf(read(`${dir}/objs/${target}`)).sectionByName('.BTF')
  const coreBtf = Btf.parse(section.data.slice())
  const paths = objects.map((name) => `${dir}/objs/${name}`)
  const output = execFileSync(`${dir}/core-dump`, ['--btf', `${dir}/objs/${target}`, ...paths], { maxBuffer: 1 << 28 })
  const prepared = new Map()
  for (const text of output.toString().trim().split('\n')) {
    const line = JSON.parse(text)
    if (line.prog === undefined) continue
    if (!prepared.has(line.obj)) prepared.set(line.obj, prepareAll(line.obj, coreBtf))
    const object = prepared.get(line.obj)
    const ours = object.programs.get(line.prog)
    total++
    let reason
    if (line.error === undefined) reason = programDifference(object, ours, line)
    else {
      refused++
      reason = ours?.ok === true ? `relocated, but libbpf says: ${line.error.messages.join('; ')}` : null
    }
    if (reason === null) equal++
    else differences.push({ object: line.obj, program: line.prog, target, reason })
  }
}
writeResult('core-vs-libbpf-targets', {
  libbpf: '1.5 (Linux 6.12)',
  equal,
  total,
  refused,
  targets: targets.length,
  differences,
})

function prepareAll(name, coreBtf) {
  const spec = openObject(read(`${dir}/objs/${name}`), { name })
  const { programs } = prepare(spec, { kernelBtf, coreBtf, kconfig, programs: Object.keys(spec.programs) })
  const byName = new Map(programs.map((p) => [p.ok ? p.program.spec.name : p.spec.name, p]))
  return { spec, programs: byName, externs: new Map() }
}

function read(path) {
  return new Uint8Array(readFileSync(path))
}
