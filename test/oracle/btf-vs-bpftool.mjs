// Compares `btf dump` of elfbee and of bpftool 7.5: raw text, JSON, C and unsorted C, byte for byte, for every object
// of the oracle, for the running kernel's BTF and for a split BTF on top of it.
//
//   node test/oracle/btf-vs-bpftool.mjs [FILTER]     compares, writes docs/results/btf-vs-bpftool.json
//   node test/oracle/btf-vs-bpftool.mjs --bless      rewrites the goldens in test/btf/golden from fixtures
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Btf, BtfBuilder, BtfKind, dumpC, dumpJson, dumpRaw } from '../../dist/btf/index.js'
import { parseElf } from '../../dist/elf/index.js'
import { oracleDir, root, toolVersion, writeResult } from './results.mjs'

const VMLINUX = '/sys/kernel/btf/vmlinux'
/** Stands for BTF on top of vmlinux's, made here. */
const SPLIT = 'split BTF'
const GOLDEN_OBJECTS = ['clang19/btf_kinds', 'clang19/core_kinds', 'clang19-eb/btf_kinds', 'clang14/packet_counter']
const FORMATS = [
  { name: 'raw', args: [[], []], dump: (btf) => dumpRaw(btf) },
  { name: 'json', args: [['-j'], []], dump: (btf) => dumpJson(btf, { compat: 'bpftool' }) },
  { name: 'pretty.json', args: [['-p'], []], dump: (btf) => dumpJson(btf, { compat: 'bpftool', pretty: true }) },
  { name: 'c', args: [[], ['format', 'c']], dump: (btf) => dumpC(btf, { compat: 'bpftool' }) },
  {
    name: 'unsorted.c',
    args: [[], ['format', 'c', 'unsorted']],
    dump: (btf) => dumpC(btf, { sort: false, compat: 'bpftool' }),
  },
]

const bpftool = `${oracleDir()}/bpftool`

function expected(file, format, base = []) {
  const [options, rest] = format.args
  return execFileSync(bpftool, [...options, ...base, 'btf', 'dump', 'file', file, ...rest], { maxBuffer: 1 << 28 })
}

function openBtf(file) {
  const bytes = readFileSync(file)
  if (file === VMLINUX) return Btf.parse(bytes)
  const section = parseElf(bytes, file).sectionByName('.BTF')
  return section === undefined || section === null ? null : Btf.parse(section.data)
}

function bless() {
  const dir = `${root}test/btf/golden`
  mkdirSync(dir, { recursive: true })
  for (const object of GOLDEN_OBJECTS) {
    for (const format of FORMATS) {
      const name = `${object.replace('/', '-')}.${format.name}.txt`
      writeFileSync(`${dir}/${name}`, expected(`${root}fixtures/${object}.bpf.o`, format))
    }
  }
}

/** BTF as of a kernel module: types of its own that go on from vmlinux's, one with a name that is taken there. */
function splitBtf(base) {
  const builder = new BtfBuilder({ base })
  const int = base.findByName('int', BtfKind.INT)
  const member = (name, type, bitOffset) => ({ name, type, bitOffset, bitSize: 0 })
  const task = builder.add({ kind: BtfKind.PTR, type: base.findByName('task_struct', BtfKind.STRUCT) })
  const state = builder.add({
    kind: BtfKind.STRUCT,
    name: 'module_state',
    size: 24,
    members: [member('task', task, 0), member('node', base.findByName('hlist_node', BtfKind.STRUCT), 64)],
  })
  builder.add({ kind: BtfKind.STRUCT, name: 'task_struct', size: 4, members: [member('other', int, 0)] })
  builder.add({ kind: BtfKind.TYPEDEF, name: 'module_state_t', type: state })
  return builder
}

/** Compares the split BTF in a temporary file. */
function compareSplit() {
  const dir = mkdtempSync(join(tmpdir(), 'elfbee-btf-'))
  try {
    const file = join(dir, 'module.btf')
    const builder = splitBtf(openBtf(VMLINUX))
    writeFileSync(file, builder.build())
    return compareFormats(builder.toBtf(), file, ['-B', VMLINUX])
  } finally {
    rmSync(dir, { recursive: true })
  }
}

/** Compares one file; gives the formats that differ, or null when it has no BTF. */
function compare(file) {
  let btf
  try {
    btf = openBtf(file)
  } catch (error) {
    return [{ format: 'open', reason: String(error) }]
  }
  return btf === null ? null : compareFormats(btf, file, [])
}

function compareFormats(btf, file, base) {
  const differing = []
  for (const format of FORMATS) {
    let ours
    try {
      ours = Buffer.from(format.dump(btf))
    } catch (error) {
      differing.push({ format: format.name, reason: String(error) })
      continue
    }
    const theirs = expected(file, format, base)
    if (!ours.equals(theirs)) differing.push({ format: format.name, reason: firstDifference(ours, theirs) })
  }
  return differing
}

function firstDifference(ours, theirs) {
  const a = ours.toString().split('\n')
  const b = theirs.toString().split('\n')
  const at = a.findIndex((line, i) => line !== b[i])
  return `line ${at + 1}: ${JSON.stringify(a[at])} instead of ${JSON.stringify(b[at])}`
}

if (process.argv.includes('--bless')) {
  bless()
} else {
  const filter = process.argv[2] ?? ''
  const objects = readdirSync(`${oracleDir()}/objs`).filter((name) => name.endsWith('.o') && name.includes(filter))
  const files = objects.toSorted().map((name) => `${oracleDir()}/objs/${name}`)
  if (existsSync(VMLINUX) && filter === '') files.push(VMLINUX, SPLIT)
  const differences = []
  let equal = 0
  let total = 0
  for (const file of files) {
    const differing = file === SPLIT ? compareSplit() : compare(file)
    if (differing === null) continue
    total++
    const name = file.slice(file.lastIndexOf('/') + 1)
    if (differing.length === 0) equal++
    for (const one of differing) differences.push({ object: name, ...one })
    for (const one of differing) console.log(`${name}: ${one.format}: ${one.reason}`)
  }
  const formats = FORMATS.map((format) => format.name)
  if (filter === '')
    writeResult('btf-vs-bpftool', { bpftool: toolVersion(bpftool, ['version']), formats, equal, total, differences })
  else console.log(`btf-vs-bpftool: ${equal} of ${total}`)
  if (equal < total) process.exitCode = 1
}
