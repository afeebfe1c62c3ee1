// Compares checkBtf with the running kernel: damaged copies of the fixtures' BTF go to BPF_BTF_LOAD and to checkBtf, and
// both have to agree on which to refuse. Needs root (or CAP_BPF) and a C compiler.
//
//   node test/oracle/btf-check-vs-kernel.mjs [RUNS] [SEED]
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Btf, BtfBuilder, BtfKind, checkBtf } from '../../dist/btf/index.js'
import { parseElf } from '../../dist/elf/index.js'
import { root, writeResult } from './results.mjs'

const runs = Number(process.argv[2] ?? 20_000)
const seed = Number(process.argv[3] ?? 1)

/** What libbpf does to an object's BTF before loading: sizes of sections, no externs. */
function loadable(btf) {
  const builder = new BtfBuilder()
  const anInt = [...btf.ids()].find((id) => btf.kind(id) === BtfKind.INT)
  for (const type of btf.types()) {
    if (type.kind === BtfKind.DATASEC) {
      const entries = type.vars.filter(
        (entry) => btf.kind(entry.type) === BtfKind.VAR && sizeOrZero(btf, entry.type) > 0,
      )
      let offset = 0
      const vars = entries.map((entry) => {
        const size = btf.sizeOf(entry.type)
        offset += size
        return { type: entry.type, offset: offset - size, size }
      })
      builder.add({ ...type, vars, size: Math.max(1, offset) })
    } else if (type.kind === BtfKind.FUNC) {
      builder.add({ ...type, linkage: Math.min(1, type.linkage) })
    } else if (type.kind === BtfKind.VAR) {
      const hasSize = sizeOrZero(btf, type.id) > 0
      builder.add({ ...type, type: hasSize ? type.type : anInt, linkage: Math.min(1, type.linkage) })
    } else if (type.kind === BtfKind.FUNC_PROTO) {
      const params = type.params.map((param, i) => ({ ...param, name: param.type === 0 ? '' : param.name || `p${i}` }))
      builder.add({ ...type, params })
    } else {
      builder.add(type)
    }
  }
  return builder.build()
}

function sizeOrZero(btf, id) {
  try {
    return btf.sizeOf(id)
  } catch {
    return 0
  }
}

/** xorshift32: the same numbers for the same seed. */
function randomNumbers(start) {
  let state = start >>> 0 || 1
  return (limit) => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state % limit
  }
}

/** Changes one to three words, mostly to values that fit: ids, sizes, kinds, names from elsewhere in the blob. */
function damage(blob, below) {
  const copy = blob.slice()
  const view = new DataView(copy.buffer)
  const typeEnd = 24 + view.getUint32(12, true)
  const edits = 1 + below(3)
  for (let i = 0; i < edits; i++) {
    const inHeader = below(60) === 0
    const at = inHeader ? 4 * below(6) : 24 + 4 * below((typeEnd - 24) / 4)
    const old = view.getUint32(at, true)
    const choices = [
      () => below(64),
      () => below(200),
      () => old + 1,
      () => old - 1,
      () => old ^ (1 << below(32)),
      () => old ^ (1 << (24 + below(5))),
      () => view.getUint32(24 + 4 * below((typeEnd - 24) / 4), true),
      () => [0, 0xffffffff, 0x80000000, 0x7fffffff, 0xffff, 128, 8][below(7)],
      () => (old & 0xffffff) | (below(64) << 24),
    ]
    view.setUint32(at, choices[below(choices.length)]() >>> 0, true)
  }
  if (below(25) === 0 && typeEnd < copy.length) copy[typeEnd + below(copy.length - typeEnd)] = below(256)
  return copy
}

function ourVerdict(blob) {
  try {
    checkBtf(Btf.parse(blob))
    return null
  } catch (error) {
    if (error.name !== 'BpfError') throw error
    return error.message
  }
}

function kernelVerdicts(blobs) {
  const dir = mkdtempSync(join(tmpdir(), 'elfbee-btf-'))
  try {
    const program = join(dir, 'btf-load')
    execFileSync('cc', ['-O2', '-o', program, join(root, 'test/oracle/btf-load.c')])
    const parts = blobs.flatMap((blob) => [new Uint8Array(Uint32Array.of(blob.length).buffer), blob])
    const output = execFileSync(program, { input: Buffer.concat(parts), maxBuffer: 1 << 28 })
    return output.toString('latin1').trimEnd().split('\n')
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const originals = []
for (const folder of ['clang14', 'clang19']) {
  for (const name of readdirSync(`${root}fixtures/${folder}`)) {
    if (!name.endsWith('.o')) continue
    const data = parseElf(readFileSync(`${root}fixtures/${folder}/${name}`)).sectionByName('.BTF')?.data
    if (data !== undefined) originals.push(loadable(Btf.parse(data)))
  }
}
const below = randomNumbers(seed)
const differences = []
let equal = 0
let accepted = 0
const BATCH = 2000
for (let done = 0; done < runs; done += BATCH) {
  const blobs = []
  if (done === 0) blobs.push(...originals)
  while (blobs.length < Math.min(BATCH, runs - done)) blobs.push(damage(originals[below(originals.length)], below))
  const kernel = kernelVerdicts(blobs)
  for (let i = 0; i < blobs.length; i++) {
    const ours = ourVerdict(blobs[i])
    const theirs = kernel[i]
    if (theirs === '0') accepted++
    if ((ours === null) === (theirs === '0')) equal++
    else differences.push({ input: done + i, ours: ours ?? 'accepted', kernel: theirs === '0' ? 'accepted' : theirs })
  }
}
for (const one of differences.slice(0, 20)) console.log(JSON.stringify(one))
writeResult('btf-check-vs-kernel', { equal, total: runs, accepted, seed, differences })
if (equal < runs) process.exitCode = 1
