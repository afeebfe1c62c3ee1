// Compares `gen min_core_btf` of elfbee and of bpftool 7.5: the raw dump of the minimal BTF of every object of the
// oracle that has CO-RE relocations, against the running kernel's BTF.
//
//   node test/oracle/mincore-vs-bpftool.mjs [FILTER]     compares, writes docs/results/mincore-vs-bpftool.json
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Btf, dumpRaw } from '../../dist/btf/index.js'
import { parseElf } from '../../dist/elf/index.js'
import { minCoreBtf, readCoreObject } from '../../dist/loader/index.js'
import { oracleDir, toolVersion, writeResult } from './results.mjs'

const VMLINUX = '/sys/kernel/btf/vmlinux'
const bpftool = `${oracleDir()}/bpftool`
const kernelBtf = Btf.parse(new Uint8Array(readFileSync(VMLINUX)))

/** Null without CO-RE relocations. */
function open(file) {
  const bytes = new Uint8Array(readFileSync(file))
  if (parseElf(bytes, file).sectionByName('.BTF.ext') === undefined) return null
  const object = readCoreObject(bytes, file)
  return object.btfExt.coreRelos.size === 0 ? null : object
}

/** Raw dump, or `error` when the tool refuses. */
function theirs(file, out) {
  rmSync(out, { force: true })
  const made = spawnSync(bpftool, ['gen', 'min_core_btf', VMLINUX, out, file])
  if (made.status !== 0) return { error: made.stderr.toString().trim().split('\n').at(-1) }
  return { text: spawnSync(bpftool, ['btf', 'dump', 'file', out], { maxBuffer: 1 << 28 }).stdout.toString() }
}

function ours(object) {
  try {
    return { text: dumpRaw(Btf.parse(minCoreBtf([object], kernelBtf))) }
  } catch (error) {
    return { error: String(error) }
  }
}

function difference(a, b) {
  if (a.error !== undefined && b.error !== undefined) return null
  if (a.error !== undefined) return `refused: ${a.error}`
  if (b.error !== undefined) return `bpftool refuses: ${b.error}`
  if (a.text === b.text) return null
  const [x, y] = [a.text.split('\n'), b.text.split('\n')]
  const at = x.findIndex((line, i) => line !== y[i])
  return `line ${at + 1}: ${JSON.stringify(x[at])} instead of ${JSON.stringify(y[at])}`
}

const filter = process.argv[2] ?? ''
const dir = mkdtempSync(join(tmpdir(), 'elfbee-mincore-'))
const differences = []
let total = 0
let refusedByBoth = 0
try {
  const names = readdirSync(`${oracleDir()}/objs`).filter((name) => name.endsWith('.o') && name.includes(filter))
  for (const name of names.toSorted()) {
    const file = `${oracleDir()}/objs/${name}`
    const object = open(file)
    if (object === null) continue
    total++
    const [a, b] = [ours(object), theirs(file, join(dir, 'min.btf'))]
    if (a.error !== undefined && b.error !== undefined) refusedByBoth++
    const reason = difference(a, b)
    if (reason === null) continue
    differences.push({ object: name, reason })
    console.log(`${name}: ${reason}`)
  }
} finally {
  rmSync(dir, { recursive: true })
}
const equal = total - differences.length
const result = { bpftool: toolVersion(bpftool, ['version']), equal, total, refusedByBoth, differences }
if (filter === '') writeResult('mincore-vs-bpftool', result)
else console.log(`mincore-vs-bpftool: ${equal} of ${total}`)
if (equal < total) process.exitCode = 1
