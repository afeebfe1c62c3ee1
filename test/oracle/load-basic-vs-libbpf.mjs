// For every program of the kernel's selftests that libbpf 1.5 loads into this kernel, does elfbee load it too?
// Each program is loaded alone from a freshly opened object, as load-dump.c does with libbpf. Those that libbpf cannot
// load are tried as well: where elfbee can, the reason stands in `beyond`. Needs root, the addon, dist/ and the oracle
// directory with objs/ and load-dump.jsonl. Objects are shared out to child processes.
//   node test/oracle/load-basic-vs-libbpf.mjs [object name part]
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { oracleDir, writeResult } from './results.mjs'

const BATCH = 12
const CHILDREN = 2
const self = fileURLToPath(import.meta.url)

/** Classes of differences that are left to loader parity: they need externs or attach targets. */
const DEFERRED = new Set(['externs', 'attach'])

if (process.argv[2] === '--child') await child(JSON.parse(process.argv[3] ?? '[]'))
else await parent(process.argv[2])

async function parent(filter) {
  const started = Date.now()
  const rows = readFileSync(`${oracleDir()}/load-dump.jsonl`, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
    .filter((row) => row.stage !== 'open' && (filter === undefined || row.obj.includes(filter)))
  const jobs = new Map()
  for (const row of rows) {
    if (!jobs.has(row.obj)) jobs.set(row.obj, [])
    jobs.get(row.obj).push(row.prog)
  }
  const queue = [...jobs].map(([obj, progs]) => ({ obj, progs }))
  const outcomes = new Map()
  const worker = async () => {
    while (queue.length > 0) await runBatch(queue.splice(0, BATCH), outcomes)
  }
  await Promise.all(Array.from({ length: CHILDREN }, worker))

  const differences = []
  const deferred = []
  const beyond = []
  for (const row of rows) {
    const outcome = outcomes.get(`${row.obj} ${row.prog}`) ?? { class: 'crash', message: 'the child process ended' }
    const { obj, prog, section } = row
    if (!row.ok) {
      if (outcome.ok) beyond.push({ obj, prog, section, libbpf: row.lastLogLine || row.message })
    } else if (!outcome.ok) {
      const list = DEFERRED.has(outcome.class) ? deferred : differences
      list.push({ obj, prog, section, class: outcome.class, message: outcome.message })
    }
  }
  const libbpfLoads = rows.filter((row) => row.ok).length
  const total = libbpfLoads - deferred.length
  const seconds = Math.round((Date.now() - started) / 1000)
  printClasses('differences', differences)
  printClasses('left to loader parity', deferred)
  console.log(
    `libbpf loads ${libbpfLoads} of ${rows.length} programs; elfbee ${beyond.length} of the others; ${seconds} s`,
  )
  const counts = { programs: rows.length, libbpfLoads, seconds }
  const result = { equal: total - differences.length, total, ...counts, differences, deferred, beyond }
  if (filter === undefined) writeResult('load-basic-vs-libbpf', result)
  else console.log(JSON.stringify(result, null, 1))
}

function printClasses(title, list) {
  const counts = {}
  for (const { class: name } of list) counts[name] = (counts[name] ?? 0) + 1
  console.log(`${title}: ${list.length} ${JSON.stringify(counts)}`)
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
  for (const { obj, progs } of batch) {
    const bytes = new Uint8Array(readFileSync(`${oracleDir()}/objs/${obj}`))
    for (const prog of progs) {
      let outcome
      try {
        const spec = openObject(bytes, { name: obj })
        for (const program of Object.values(spec.programs)) program.autoload = program.name === prog
        const live = await load(spec, backend, {})
        const entry = live.report.programs.find((program) => program.name === prog)
        if (entry?.status === 'loaded') outcome = { ok: true }
        else outcome = describe(entry?.error ?? new Error(`no report of ${prog}`), spec, prog)
        live.close()
      } catch (error) {
        outcome = describe(error, null, prog)
      }
      console.log(JSON.stringify({ obj, prog, ...outcome }))
    }
  }
  backend.close()
}

function describe(error, spec, prog) {
  const log = typeof error.log === 'string' && error.log !== '' ? error.log.split('\n').slice(-6).join('\n') : undefined
  const message = [error.message, log].filter(Boolean).join('\n').slice(0, 1500)
  return { ok: false, class: classOf(error, spec, prog), message }
}

function classOf(error, spec, prog) {
  const text = String(error.message)
  if (/struct_ops/.test(text) || spec?.programs[prog]?.section.startsWith('struct_ops')) return 'struct_ops'
  if (/extern|kconfig|ksym|kernel function|kfunc/i.test(text)) return 'externs'
  if (/freplace|does not say which kernel function/.test(text)) return 'attach'
  return error.code ?? 'exception'
}
