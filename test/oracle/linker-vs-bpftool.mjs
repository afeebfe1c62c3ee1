// Compares `gen object` of elfbee and of bpftool 7.5, for every object of the oracle alone and for those that belong
// together: the raw dump of the linked BTF; section by section type, flags, alignment and contents (of code, those are
// its instructions); relocations; symbols; the records of .BTF.ext; and what llvm-objdump disassembles. Where bpftool
// refuses, so must elfbee.
//
//   node test/oracle/linker-vs-bpftool.mjs [FILTER]     compares, writes docs/results/linker-vs-bpftool.json
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Btf, dumpRaw, parseBtfExt } from '../../dist/btf/index.js'
import { parseElf, relocationsOf } from '../../dist/elf/index.js'
import { linkObjects } from '../../dist/loader/index.js'
import { oracleDir, root, toolVersion, writeResult } from './results.mjs'

const bpftool = `${oracleDir()}/bpftool`
const objdump = ['llvm-objdump-19', 'llvm-objdump'].find((tool) => spawnSync(tool, ['--version']).status === 0)

/** Objects that are linked with each other in the selftests' Makefile, and some that only share types. */
const GROUPS = [
  ['linked_funcs1', 'linked_funcs2'],
  ['linked_maps1', 'linked_maps2'],
  ['linked_vars1', 'linked_vars2'],
  ['test_static_linked1', 'test_static_linked2'],
  ['test_subskeleton', 'test_subskeleton_lib2', 'test_subskeleton_lib'],
  ['test_usdt', 'test_usdt_multispec'],
  ['linked_list', 'linked_list_fail'],
  ['linked_funcs1', 'linked_funcs2', 'linked_vars1', 'linked_vars2', 'linked_maps1', 'linked_maps2'],
  // The other way round, the definition comes first.
  ['linked_funcs2', 'linked_funcs1'],
  ['linked_maps2', 'linked_maps1'],
  ['linked_vars2', 'linked_vars1'],
  ['test_subskeleton_lib', 'test_subskeleton_lib2', 'test_subskeleton'],
]

/** Pairs of neighbours in the list: most conflict, and then both must refuse. */
function pairs(names) {
  return names.slice(1).map((name, i) => [names[i], name])
}

/** What is compared of an object: no string offsets, no order of symbols, no places in the file. */
function describe(bytes) {
  const elf = parseElf(bytes)
  const result = { sections: {}, symbols: [], relocations: {}, btf: '', ext: {} }
  const placeName = (index) => (index > 0 && index < 0xff00 ? elf.sections[index].name : index)
  const symbolText = ({ name, value, size, bind, type, visibility, section }) => {
    // bpftool puts externs that stay unresolved into the section that their DATASEC is called by (.maps), which makes
    // them definitions of nothing; elfbee leaves them undefined.
    const isExtern = type === 0 && size === 0 && bind !== 'local'
    const place = isExtern ? ['extern'] : [value, placeName(section)]
    return JSON.stringify([name || placeName(section), size, bind, type, visibility, ...place])
  }
  for (const section of elf.sections.slice(1)) {
    const { name, type, flags, size, align, entrySize, data } = section
    if (name === '.strtab' || name === '.symtab') continue
    if (name === '.BTF' || name === '.BTF.ext') result.sections[name] = { type, flags, align, entrySize }
    else if (type === 9) result.sections[name] = { type, flags, size, align, entrySize }
    else result.sections[name] = { type, flags, size, align, entrySize, data: Buffer.from(data).toString('hex') }
    if (type !== 1) continue
    const relocations = relocationsOf(elf, section.index)
    result.relocations[name] = relocations.map((r) => [r.offset, r.type, symbolText(elf.symbols[r.symbol])])
  }
  result.symbols = elf.symbols.slice(1).map(symbolText).toSorted()
  const types = elf.sectionByName('.BTF')
  if (types === undefined) return result
  const btf = Btf.parse(types.data)
  result.btf = dumpRaw(btf)
  const records = elf.sectionByName('.BTF.ext')
  if (records === undefined) return result
  const ext = parseBtfExt(records.data, btf)
  result.ext = {
    functions: [...ext.funcInfo],
    lines: [...ext.lineInfo].map(([name, list]) => [
      name,
      list.map((l) => [l.insnOffset, l.fileName, l.lineText, l.line, l.column]),
    ]),
    core: [...ext.coreRelos].map(([name, list]) => [name, list.map((r) => [r.insnOffset, r.typeId, r.access, r.kind])]),
  }
  return result
}

/** First difference of two descriptions, null when they are equal. */
function difference(ours, theirs) {
  for (const part of Object.keys(theirs)) {
    if (part === 'btf') {
      const [a, b] = [ours.btf.split('\n'), theirs.btf.split('\n')]
      const at = b.findIndex((line, i) => line !== a[i])
      if (at >= 0 || a.length !== b.length) return `BTF line ${at + 1}: ${a[at]} instead of ${b[at]}`
      continue
    }
    const isList = Array.isArray(theirs[part])
    const keys = isList ? ['all'] : Object.keys({ ...ours[part], ...theirs[part] })
    for (const key of keys) {
      const [a, b] = [ours, theirs].map((side) => JSON.stringify(isList ? side[part] : side[part][key]) ?? 'nothing')
      if (a === b) continue
      let at = 0
      while (a[at] === b[at]) at++
      const from = Math.max(0, at - 60)
      return `${part} ${key}: …${a.slice(from, at + 60)} instead of …${b.slice(from, at + 60)}`
    }
  }
  return null
}

function disassembly(file) {
  if (objdump === undefined) return ''
  const made = spawnSync(objdump, ['-d', '-r', '--no-show-raw-insn', file], { maxBuffer: 1 << 28 })
  // The first lines name the file. Labels of one address come in the order of symbols, which the gABI does not fix.
  return made.stdout.toString().replaceAll(/^.*file format.*$/gm, '')
}

function compare(files, dir) {
  const [ourFile, theirFile] = [join(dir, 'ours.o'), join(dir, 'theirs.o')]
  const made = spawnSync(bpftool, ['gen', 'object', theirFile, ...files])
  const refused =
    made.status === 0
      ? null
      : made.stderr
          .toString()
          .trim()
          .replaceAll(/\s*\n\s*/g, '; ')
  let bytes
  try {
    bytes = linkObjects(files.map((file) => ({ name: file, bytes: new Uint8Array(readFileSync(file)) })))
  } catch (error) {
    if (refused !== null) return { bothRefuse: true, reason: null }
    return { reason: `refused: ${error.message} (bpftool links it)` }
  }
  if (refused !== null) return { reason: `bpftool refuses: ${refused}` }
  const [ours, theirs] = [describe(bytes), describe(new Uint8Array(readFileSync(theirFile)))]
  const found = difference(ours, theirs)
  if (found !== null) return { reason: found }
  writeFileSync(ourFile, bytes)
  return { reason: disassembly(ourFile) === disassembly(theirFile) ? null : 'disassembly differs' }
}

const filter = process.argv[2] ?? ''
const dir = mkdtempSync(join(tmpdir(), 'elfbee-link-'))
const objects = `${oracleDir()}/objs`
const names = readdirSync(objects)
  .filter((name) => name.endsWith('.bpf.o'))
  .map((name) => name.slice(0, -'.bpf.o'.length))
  .toSorted()
const fixtures = readdirSync(`${root}fixtures/clang19`).filter((name) => name.endsWith('.o'))
const jobs = [
  ...names.map((name) => [`${objects}/${name}.bpf.o`]),
  ...GROUPS.map((group) => group.map((name) => `${objects}/${name}.bpf.o`)),
  ...pairs(names).map((pair) => pair.map((name) => `${objects}/${name}.bpf.o`)),
  ...fixtures.map((name) => [`${root}fixtures/clang19/${name}`]),
]
const differences = []
const counts = { total: 0, refusedByBoth: 0, single: 0, several: 0 }
try {
  for (const files of jobs) {
    const name = files.map((file) => file.slice(file.lastIndexOf('/') + 1)).join(' + ')
    if (!name.includes(filter) || !files.every((file) => existsSync(file))) continue
    counts.total++
    const { reason, bothRefuse } = compare(files, dir)
    if (bothRefuse === true) counts.refusedByBoth++
    else if (files.length === 1) counts.single++
    else counts.several++
    if (reason === null) continue
    differences.push({ objects: name, reason })
    console.log(`${name}: ${reason}`)
  }
} finally {
  rmSync(dir, { recursive: true })
}
const equal = counts.total - differences.length
const tools = {
  bpftool: toolVersion(bpftool, ['version']),
  objdump: objdump === undefined ? null : toolVersion(objdump),
}
if (filter === '') writeResult('linker-vs-bpftool', { ...tools, equal, ...counts, differences })
else console.log(`linker-vs-bpftool: ${equal} of ${counts.total} ${JSON.stringify(counts)}`)
if (equal < counts.total) process.exitCode = 1
