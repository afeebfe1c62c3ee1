// Every program of the fixtures on other kernels, booted under qemu by test/kernel/boot/boot.sh: does it load, or at which
// stage does it fail, as with libbpf 1.5 there? Old kernels need BTF in older words, fewer names and attach types, so this
// is where fallbacks are exercised for real. Where elfbee comes further the row stands in `better`. Also records which of
// the kernel's features (elfbee feature probe) each kernel has.
//   node test/oracle/kernel-matrix.mjs [KERNEL...]       (default 6.1 6.12 6.18 7.3)
// Needs dist/, the addon, load-dump of the oracle directory and what boot.sh needs. A boot takes one to three minutes.
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { oracleDir, root, writeResult } from './results.mjs'

const COMPILERS = ['clang14', 'clang19']
const KERNELS = ['6.1', '6.12', '6.18', '7.3']
/** How far a program comes. */
const STAGES = ['open', 'prepare', 'load', 'loaded']

const kernels = process.argv.length > 2 ? process.argv.slice(2) : KERNELS
const rows = []
const differences = []
const better = []
let total = 0
for (const kernel of kernels) {
  const { release, theirs, ours, features } = boot(kernel)
  let same = 0
  for (const [key, libbpf] of theirs) {
    const elfbee = ours.get(key) ?? furthestOf(ours, key) ?? { stage: 'crash', message: 'no outcome' }
    if (elfbee.stage === libbpf.stage) {
      same++
      continue
    }
    const isBetter = STAGES.indexOf(elfbee.stage) > STAGES.indexOf(libbpf.stage)
    ;(isBetter ? better : differences).push({ kernel, program: key, libbpf, elfbee })
  }
  total += theirs.size
  const loaded = [...ours.values()].filter(({ stage }) => stage === 'loaded').length
  const lacking = Object.keys(features).filter((name) => !features[name])
  rows.push({ kernel, release, programs: theirs.size, loaded, same, lacking })
  console.log(
    `${release}: ${same} of ${theirs.size} the same, ${loaded} load; it lacks ${lacking.join(', ') || 'nothing'}`,
  )
}
for (const { kernel, program, libbpf, elfbee } of differences) {
  console.log(`${kernel} ${program}: ${libbpf.stage} with libbpf, ${elfbee.stage} with elfbee: ${elfbee.message}`)
}
const result = { equal: total - differences.length, total, rows, differences, better }
if (process.argv.length > 2) console.log(JSON.stringify(result, null, 1))
else writeResult('kernel-matrix', result)

/** How far the programs of an object come that libbpf does not open, so that it names none. */
function furthestOf(outcomes, object) {
  const own = [...outcomes].filter(([key]) => key.startsWith(object)).map(([, outcome]) => outcome)
  return own.toSorted((a, b) => STAGES.indexOf(b.stage) - STAGES.indexOf(a.stage))[0]
}

function boot(kernel) {
  const folder = mkdtempSync(join(tmpdir(), 'elfbee-matrix-'))
  try {
    cpSync(`${root}dist`, `${folder}/dist`, { recursive: true })
    copyFileSync(`${root}package.json`, `${folder}/package.json`)
    copyFileSync(`${root}native/build/Release/elfbee.node`, `${folder}/elfbee.node`)
    copyFileSync(`${root}test/oracle/kernel-matrix-inside.mjs`, `${folder}/inside.mjs`)
    copyFileSync(`${oracleDir()}/load-dump`, `${folder}/load-dump`)
    for (const file of ['elfbee.node', 'load-dump']) chmodSync(`${folder}/${file}`, 0o755)
    for (const compiler of COMPILERS) {
      mkdirSync(`${folder}/${compiler}`)
      for (const name of readdirSync(`${root}fixtures/${compiler}`)) {
        if (name.endsWith('.bpf.o'))
          copyFileSync(`${root}fixtures/${compiler}/${name}`, `${folder}/${compiler}/${name}`)
      }
    }
    execFileSync(
      `${root}test/kernel/boot/boot.sh`,
      [
        kernel,
        folder,
        'sh',
        '-c',
        'for c in clang14 clang19; do ./load-dump $c/*.bpf.o > out/$c.jsonl; done; ELFBEE_NATIVE=/w/elfbee.node node inside.mjs',
      ],
      { env: { ...process.env, BOOT_LIMIT: '600' }, stdio: ['ignore', 'ignore', 'inherit'] },
    )
    const lines = (name) =>
      readFileSync(`${folder}/out/${name}`, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    const theirs = new Map()
    for (const compiler of COMPILERS) {
      for (const { obj, prog, ok, stage, message, lastLogLine } of lines(`${compiler}.jsonl`)) {
        const reached = ok ? 'loaded' : stage === 'timeout' ? 'load' : stage
        theirs.set(`${compiler}/${obj} ${prog ?? ''}`, { stage: reached, message: lastLogLine || message })
      }
    }
    const ours = new Map()
    let facts = {}
    for (const line of lines('elfbee.jsonl')) {
      if (line.features !== undefined) facts = line
      else ours.set(`${line.obj} ${line.prog ?? ''}`, line.outcome)
    }
    return { release: facts.release, features: facts.features, theirs, ours }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
