// What becomes of every program of the kernel's selftests: the same in libbpf 1.5 and in elfbee? Each program is loaded
// alone from a freshly opened object, as load-dump.c does with libbpf. Compared are whether it loads, and when not, the
// stage that failed (open, prepare, load) and, for what the kernel refused, its errno and the verifier's last line.
// Programs that only elfbee loads, or that get further, are listed in `better`. Needs root, the addon, dist/ and the
// oracle directory with objs/ and load-dump.jsonl. Objects are shared out to child processes.
//   node test/oracle/load-vs-libbpf.mjs [object name part]
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { errnoNumber } from '../../dist/uapi/index.js'
import { oracleDir, writeResult } from './results.mjs'

const BATCH = 12
const CHILDREN = 2
/** How far a program got. */
const STAGES = ['open', 'prepare', 'load', 'loaded']
const self = fileURLToPath(import.meta.url)

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
  const agreed = Object.fromEntries(STAGES.map((stage) => [stage, 0]))
  for (const row of rows) {
    const there = libbpfOutcome(row)
    const here = outcomes.get(`${row.obj} ${row.prog ?? ''}`) ?? { stage: 'crash', message: 'the child process ended' }
    if (sameOutcome(there, here)) {
      agreed[there.stage]++
      continue
    }
    const { obj, prog, section } = row
    const isBetter = STAGES.indexOf(here.stage) > STAGES.indexOf(there.stage)
    ;(isBetter ? better : differences).push({ obj, prog, section, libbpf: there, elfbee: here })
  }
  const total = rows.length
  const seconds = Math.round((Date.now() - started) / 1000)
  const kinds = {}
  for (const { libbpf, elfbee } of differences) {
    const kind = `${libbpf.stage} in libbpf, ${elfbee.stage} in elfbee`
    kinds[kind] = (kinds[kind] ?? 0) + 1
  }
  console.log(`as in libbpf: ${JSON.stringify(agreed)}; better: ${better.length}; ${seconds} s`)
  console.log(`differences: ${differences.length} ${JSON.stringify(kinds)}`)
  const result = { equal: total - differences.length, total, agreed, seconds, kinds, differences, better }
  if (filter === undefined) writeResult('load-vs-libbpf', result)
  else console.log(JSON.stringify(result, null, 1))
}

function libbpfOutcome({ ok, stage, errno, message, lastLogLine }) {
  if (ok) return { stage: 'loaded' }
  if (stage === 'load') return { stage, errno, line: lastLogLine, message }
  return { stage: stage === 'timeout' ? 'load' : stage, message }
}

/** Before the kernel is asked every loader has its own words; the kernel's answers are compared. */
function sameOutcome(there, here) {
  if (there.stage !== here.stage) return false
  if (there.stage !== 'load' || there.errno === undefined) return true
  return there.errno === here.errno && (there.line === here.line || sameTranslation(there, here))
}

/** libbpf writes into the log what it had made invalid, elfbee into its message. */
function sameTranslation(there, here) {
  if (!/^invalid func unknown#\d+$/.test(here.line)) return false
  const kfunc = /^kfunc '(\w+)' is referenced but wasn't resolved/.exec(there.line)
  if (kfunc !== null) return here.message.includes(`kernel function ${kfunc[1]}`)
  const relocation = /^failed to resolve CO-RE relocation <(\w+)> \[\d+\] (.+) [(=]/.exec(there.line)
  return relocation !== null && here.message.includes(`CO-RE relocation ${relocation[1]} ${relocation[2]} has no match`)
}

function runBatch(batch, outcomes) {
  return new Promise((resolve) => {
    const process_ = spawn(process.execPath, [self, '--child', JSON.stringify(batch)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    createInterface({ input: process_.stdout }).on('line', (line) => {
      const { obj, prog, ...outcome } = JSON.parse(line)
      outcomes.set(`${obj} ${prog ?? ''}`, outcome)
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
    // An object that libbpf does not open has no programs there.
    for (const prog of progs.length > 0 ? progs : [undefined]) {
      console.log(JSON.stringify({ obj, prog, ...(await outcomeOf(bytes, obj, prog)) }))
    }
  }
  backend.close()

  async function outcomeOf(bytes, obj, prog) {
    let spec
    try {
      spec = openObject(bytes, { name: obj })
    } catch (error) {
      return { stage: 'open', message: error.message }
    }
    for (const program of Object.values(spec.programs)) program.autoload = program.name === prog || prog === undefined
    try {
      const live = await load(spec, backend, {})
      live.close()
      const failed = live.report.programs.find(
        ({ name, status }) => status !== 'loaded' && (name === prog || prog === undefined),
      )
      return failed === undefined ? { stage: 'loaded' } : describe(failed.error ?? new Error(`no report of ${prog}`))
    } catch (error) {
      return describe(error)
    }
  }
}

function describe(error) {
  const isKernels = error.code === 'verifier' || (error.code === 'syscall' && error.message.includes('BPF_PROG_LOAD'))
  const message = String(error.message).slice(0, 500)
  if (!isKernels) return { stage: 'prepare', message }
  return { stage: 'load', errno: errnoNumber(error.errno), line: lastLine(error.log ?? ''), message }
}

/** The verifier's last line before its statistics, as load-dump.c takes it. */
function lastLine(log) {
  const isStatistic = (line) => /^(processed |verification time|stack depth)/.test(line)
  return (log.split('\n').findLast((line) => line !== '' && !isStatistic(line)) ?? '').slice(0, 511)
}
