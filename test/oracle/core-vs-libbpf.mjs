// Oracle (b): programs relocated by elfbee and by libbpf 1.5 must be the same, instruction by instruction.
//
//   node test/oracle/core-vs-libbpf.mjs [--only OBJECT]...
//
// Reads core-dump.jsonl and objs/ of the oracle directory (see test/oracle/prepare), where every program that libbpf
// relocates has a line. Compared are instructions (descriptors set to 0), what they refer to, func_info and line_info;
// and of objects the maps, the license, and the contents of .kconfig. Writes docs/results/core-vs-libbpf.json.
import { createReadStream, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Btf } from '../../dist/btf/index.js'
import { openObject, prepare } from '../../dist/loader/index.js'
import { describeMap, describeTheirMap, firstDifference, kernelFacts, programDifference } from './lib/core-compare.mjs'
import { oracleDir, writeResult } from './results.mjs'

const dir = oracleDir()
const only = process.argv.flatMap((word, i) => (process.argv[i - 1] === '--only' ? [word] : []))
const kernelBtf = Btf.parse(new Uint8Array(readFileSync('/sys/kernel/btf/vmlinux')))
const kconfig = kernelFacts()

const differences = []
const counts = { equal: 0, total: 0, objects: 0, objectsEqual: 0, refusedByBoth: 0, extra: 0 }
let current = null

const lines = createInterface({ input: createReadStream(`${dir}/core-dump.jsonl`) })
for await (const text of lines) {
  const line = JSON.parse(text)
  if (only.length > 0 && !only.includes(line.obj)) continue
  if (current?.name !== line.obj) current = openOne(line.obj)
  if (line.prog === undefined) compareObject(current, line)
  else compareProgram(current, line)
}

writeResult('core-vs-libbpf', {
  libbpf: '1.5 (Linux 6.12)',
  equal: counts.equal,
  total: counts.total,
  percent: Number(((counts.equal * 100) / Math.max(1, counts.total)).toFixed(2)),
  objects: counts.objects,
  objectsEqual: counts.objectsEqual,
  // Programs that libbpf refuses to relocate: those that elfbee refuses, too, and those that it relocates.
  refusedByBoth: counts.refusedByBoth,
  relocatedByElfbeeOnly: counts.extra,
  differences,
})

/** Opens and prepares all programs of an object, those of `?` sections too, as the harness does. */
function openOne(name) {
  try {
    const spec = openObject(new Uint8Array(readFileSync(`${dir}/objs/${name}`)), { name })
    const prepared = prepare(spec, { kernelBtf, kconfig, programs: Object.keys(spec.programs) })
    const programs = new Map(prepared.programs.map((p) => [p.ok ? p.program.spec.name : p.spec.name, p]))
    return { name, spec, prepared, programs, externs: new Map() }
  } catch (error) {
    return { name, error }
  }
}

function differ(object, program, reason) {
  differences.push({ object, ...(program === null ? {} : { program }), reason })
}

function compareObject(object, line) {
  if (line.error !== undefined && line.maps === undefined) return
  counts.objects++
  const before = differences.length
  if (object.error !== undefined) differ(line.obj, null, `not opened: ${object.error.message}`)
  else {
    for (const extern of line.externs) object.externs.set(extern.name, extern)
    const { spec, prepared } = object
    if (spec.license !== line.license) differ(line.obj, null, `license '${spec.license}', not '${line.license}'`)
    if (spec.version !== 0 && spec.version !== line.kernVersion) {
      differ(line.obj, null, `version ${spec.version}, not ${line.kernVersion}`)
    }
    const ours = JSON.stringify(Object.values(spec.maps).map((map) => describeMap(spec, map)))
    const theirs = JSON.stringify(line.maps.map((map) => describeTheirMap(map)))
    if (ours !== theirs) differ(line.obj, null, `maps: ${firstDifference(ours, theirs)}`)
    const data = prepared.kconfig === null ? undefined : Buffer.from(prepared.kconfig).toString('hex')
    if (data !== line.kconfig && line.error === undefined)
      differ(line.obj, null, `.kconfig: ${data}, not ${line.kconfig}`)
  }
  if (differences.length === before) counts.objectsEqual++
}

function compareProgram(object, line) {
  const ours = object.programs?.get(line.prog)
  if (line.error !== undefined) {
    if (ours?.ok === true) counts.extra++
    else counts.refusedByBoth++
    return
  }
  counts.total++
  const reason = programDifference(object, ours, line)
  if (reason === null) counts.equal++
  else differ(line.obj, line.prog, reason)
}
