// Does every program of the kernel's selftests come as far with elfbee as with libbpf 1.5 on this kernel? Each program is
// loaded alone from a freshly opened object, as load-dump.c does with libbpf, and the outcomes are compared: loaded, or
// at which stage it failed:
//   open      the object was refused
//   prepare   externs, relocation, BTF, maps, the target of the program
//   load      the kernel was asked and refused
// Where elfbee comes further the row stands in `better`, with libbpf's reason. Needs root, the addon, dist/ and the oracle
// directory with objs/ and load-dump.jsonl. Objects are shared out to child processes.
//   node test/oracle/load-vs-libbpf.mjs [object name part]
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { oracleDir, writeResult } from './results.mjs'

const BATCH = 12
const CHILDREN = 2
const self = fileURLToPath(import.meta.url)

/** Stages in their order; a program that is refused later comes further. */
const STAGES = ['open', 'prepare', 'load', 'loaded']

if (process.argv[2] === '--child') await child(JSON.parse(process.argv[3] ?? '[]'))
else await parent(process.argv[2])

async function parent(filter) {
  const started = Date.now()
  const rows = readFileSync(`${oracleDir()}/load-dump.jsonl`, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
    .filter((row) => filter === undefined || row.obj.includes(filter))
  const jobs = new Map()
  for (const row of rows) {
    if (!jobs.has(row.obj)) jobs.set(row.obj, [])
    if (row.prog !== undefined) jobs.get(row.obj).push(row.prog)
  }
  const queue = [...jobs].map(([obj, progs]) => ({ obj, progs }))
  const outcomes = new Map()
  const worker = async () => {
    while (queue.length > 0) await runBatch(queue.splice(0, BATCH), outcomes)
  }
  await Promise.all(Array.from({ length: CHILDREN }, worker))

  const differences = []
  const better = []
  let same = 0
  for (const row of rows) {
    const { obj, prog, section } = row
    const outcome = outcomes.get(`${obj} ${prog ?? ''}`) ?? { stage: 'crash', message: 'the child process ended' }
    const theirs = stageOf(row)
    if (outcome.stage === theirs) same++
    else {
      const entry = { obj, prog, section, elfbee: outcome.stage, libbpf: theirs }
      const isBetter = STAGES.indexOf(outcome.stage) > STAGES.indexOf(theirs)
      if (isBetter) better.push({ ...entry, why: (row.message || row.lastLogLine || '').slice(0, 300) })
      else differences.push({ ...entry, why: outcome.message })
    }
  }
  const seconds = Math.round((Date.now() - started) / 1000)
  const counts = { libbpfLoads: rows.filter((row) => row.ok).length, same, seconds }
  console.log(`${same} of ${rows.length} the same, ${better.length} better: ${summary(better)}`)
  console.log(`${differences.length} worse: ${summary(differences)}; ${seconds} s`)
  const result = { equal: rows.length - differences.length, total: rows.length, ...counts, differences, better }
  if (filter === undefined) writeResult('load-vs-libbpf', result)
  else console.log(JSON.stringify(result, null, 1))
}

function stageOf({ ok, stage }) {
  // A program whose verification takes libbpf's child too long was given to the kernel all the same.
  if (stage === 'timeout') return 'load'
  return ok ? 'loaded' : stage
}

function summary(list) {
  const counts = {}
  for (const { elfbee, libbpf } of list) counts[`${libbpf} -> ${elfbee}`] = (counts[`${libbpf} -> ${elfbee}`] ?? 0) + 1
  return JSON.stringify(counts)
}

function runBatch(batch, outcomes) {
  return new Promise((resolve) => {
    const process_ = spawn(process.execPath, [self, '--child', JSON.stringify(batch)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    createInterface({ input: process_.stdout }).on('line', (line) => {
      const { obj, prog, ...outcome } = JSON.parse(line)
      outcomes.set(`${obj} ${prog}`, outcome)
    })
    process_.on('close', resolve)
  })
}

async function child(batch) {
  const { openObject, load } = await import('../../dist/loader/index.js')
  const { openKernelBackend } = await import('../../dist/kernel/index.js')
  const backend = openKernelBackend()
  const print = (obj, prog, outcome) => console.log(JSON.stringify({ obj, prog, ...outcome }))
  for (const { obj, progs } of batch) {
    const bytes = new Uint8Array(readFileSync(`${oracleDir()}/objs/${obj}`))
    const openWith = (prog) => {
      const spec = openObject(bytes, { name: obj })
      for (const program of Object.values(spec.programs)) program.autoload = program.name === prog
      return spec
    }
    // libbpf did not open it, so there are no programs to compare.
    if (progs.length === 0) print(obj, '', attempt(() => openWith('')) ?? { stage: 'prepare' })
    for (const prog of progs) {
      let spec
      const refused = attempt(() => (spec = openWith(prog)))
      if (refused !== null) {
        print(obj, prog, refused)
        continue
      }
      const live = await load(spec, backend, {})
      const entry = live.report.programs.find((program) => program.name === prog)
      live.close()
      if (entry?.status === 'loaded') print(obj, prog, { stage: 'loaded' })
      else print(obj, prog, failure(entry?.error ?? new Error(`no report of ${prog}`)))
    }
  }
  backend.close()
}

function attempt(work) {
  try {
    work()
    return null
  } catch (error) {
    return { ...failure(error), stage: 'open' }
  }
}

function failure(error) {
  const log = typeof error.log === 'string' && error.log !== '' ? error.log.split('\n').slice(-6).join('\n') : undefined
  const message = [error.message, log].filter(Boolean).join('\n').slice(0, 1000)
  const asked = error.code === 'verifier' || (error.code === 'syscall' && /BPF_PROG_LOAD/.test(message))
  return { stage: asked ? 'load' : 'prepare', message }
}
