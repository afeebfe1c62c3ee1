// Oracle: the instruction printers against the tools whose syntax they print.
//
//   llvm     every executable section of every object: the whole text of llvm-objdump-19 -d --no-show-raw-insn
//   kernel   the same sections: the text of the kernel's printer (kernel/bpf/disasm.c, compiled into disasm-dump)
//   bpftool  every program that the running kernel accepts: the instructions that bpftool prog dump xlated prints
//
// Usage: node test/oracle/disasm-vs-bpftool.mjs [--no-load] [OBJECT...]   (needs dist/, see prepare/prepare.sh)
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseElf, SectionFlag, SectionType, SymbolType } from '../../dist/elf/index.js'
import { bpftoolNames, InsnBuffer, kernelLines, llvmLines } from '../../dist/isa/index.js'
import { dumpLoaded, kernelSymbols } from './loaded-programs.mjs'
import { oracleDir, toolVersion, writeResult } from './results.mjs'

const MAX_DIFFERENCES = 200
const args = process.argv.slice(2)
const load = !args.includes('--no-load')
const dir = oracleDir()
const named = args.filter((a) => !a.startsWith('--'))
const objects = named.length > 0 ? named : listObjects(join(dir, 'objs'))
const work = mkdtempSync(join(tmpdir(), 'elfbee-disasm-'))
const differences = []
const counts = { llvm: counter(), kernel: counter(), bpftool: counter() }

function counter() {
  return { equal: 0, total: 0, lines: 0 }
}

function listObjects(path) {
  return readdirSync(path)
    .filter((name) => name.endsWith('.o'))
    .sort()
    .map((name) => join(path, name))
}

/** Counts one text; `what` names it in the list of differences. */
function compare(kind, what, wanted, got) {
  const count = counts[kind]
  count.total++
  count.lines += wanted.length
  const at = wanted.findIndex((line, i) => line !== got[i])
  if (at === -1 && wanted.length === got.length) {
    count.equal++
    return
  }
  const line = at === -1 ? wanted.length : at
  if (differences.length < MAX_DIFFERENCES) {
    differences.push({ kind, what, line, wanted: wanted[line] ?? null, got: got[line] ?? null })
  }
}

/** Executable sections with contents. */
function codeOf(elf) {
  return elf.sections.filter(
    (s) => s.type === SectionType.PROGBITS && (s.flags & SectionFlag.EXECINSTR) !== 0 && s.size > 0,
  )
}

const insnsOf = (elf, section) => InsnBuffer.fromBytes(section.data, { littleEndian: elf.littleEndian })

/** llvm-objdump's text for one object, by section. */
function objdump(path) {
  const run = spawnSync('llvm-objdump-19', ['-d', '--no-show-raw-insn', path], { maxBuffer: 1 << 28 })
  const sections = []
  for (const line of run.stdout.toString().split('\n')) {
    const header = /^Disassembly of section (.*):$/.exec(line)
    if (header !== null) sections.push({ name: header[1], lines: [] })
    else sections.at(-1)?.lines.push(line)
  }
  // Each section's text ends with the empty line before the next header, or with the file's last newline.
  for (const section of sections) if (section.lines.at(-1) === '') section.lines.pop()
  return sections
}

function compareLlvm(path, elf) {
  const theirs = objdump(path)
  const code = codeOf(elf)
  if (theirs.length !== code.length) throw new Error(`${path}: ${theirs.length} sections, expected ${code.length}`)
  code.forEach((section, i) => {
    const symbols = elf.symbols.filter(
      (s) => s.section === section.index && s.type !== SymbolType.SECTION && s.type !== SymbolType.FILE,
    )
    const mine = llvmLines(insnsOf(elf, section), { name: section.name, symbols })
    compare('llvm', `${basename(path)} ${section.name}`, theirs[i].lines, mine)
  })
}

/** Compiles the harness with the kernel's printer, and runs it over all sections at once. */
function kernelTexts(blocks) {
  const source = join(dir, 'linux-source-6.12')
  const harness = join(work, 'disasm-dump')
  const includes = ['tools/include', 'tools/include/uapi', 'kernel/bpf'].map((path) => `-I${join(source, path)}`)
  const files = [fileURLToPath(new URL('disasm-dump.c', import.meta.url)), join(source, 'kernel/bpf/disasm.c')]
  execFileSync('gcc', ['-O1', '-w', ...includes, '-o', harness, ...files], { stdio: 'inherit' })
  const input = Buffer.concat(
    blocks.flatMap(({ bytes }) => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      return [length, bytes]
    }),
  )
  const out = execFileSync(harness, { input, maxBuffer: 1 << 30 }).toString()
  const texts = [[]]
  for (const line of out.split('\n')) {
    if (line === '.') texts.push([])
    else texts.at(-1).push(line)
  }
  return texts
}

const blocks = []
for (const path of objects) {
  const elf = parseElf(new Uint8Array(readFileSync(path)), basename(path))
  compareLlvm(path, elf)
  for (const section of codeOf(elf)) {
    const insns = insnsOf(elf, section)
    blocks.push({ what: `${basename(path)} ${section.name}`, insns, bytes: insns.toBytes() })
  }
}
kernelTexts(blocks)
  .slice(0, blocks.length)
  .forEach((text, i) => compare('kernel', blocks[i].what, text, kernelLines(blocks[i].insns, bpftoolNames())))

let loaded = null
if (load) {
  loaded = { objects: 0, objectsWithoutAcceptedPrograms: 0 }
  const symbols = kernelSymbols()
  for (const path of objects) {
    const programs = dumpLoaded(path, dir, work)
    if (programs === null) {
      loaded.objectsWithoutAcceptedPrograms++
      continue
    }
    loaded.objects++
    for (const program of programs) {
      const insns = InsnBuffer.fromBytes(program.bytes)
      const names = bpftoolNames({ ...symbols(), jitedFunctions: program.jitedFunctions })
      compare('bpftool', `${basename(path)} ${program.name}`, program.lines, kernelLines(insns, names))
    }
  }
}
rmSync(work, { recursive: true })

const sum = (field) => Object.values(counts).reduce((total, count) => total + count[field], 0)
for (const [kind, c] of Object.entries(counts)) {
  console.log(`${kind.padEnd(8)} ${c.equal} of ${c.total} texts, ${c.lines} lines`)
}
for (const d of differences.slice(0, 20)) console.log(JSON.stringify(d))
writeResult('disasm-vs-bpftool', {
  equal: sum('equal'),
  total: sum('total'),
  lines: sum('lines'),
  objects: objects.length,
  parts: counts,
  loaded,
  tools: {
    llvm: toolVersion('llvm-objdump-19')?.trim() ?? null,
    bpftool: toolVersion(join(dir, 'bpftool'), ['version']),
    disasm: 'linux-source-6.12 kernel/bpf/disasm.c',
  },
  differences,
})
process.exitCode = sum('equal') === sum('total') ? 0 : 1
