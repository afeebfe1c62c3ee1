// A worker thread of workers.test.ts: opens its CPU, then runs what it is told, all threads at once.
import { parentPort, workerData } from 'node:worker_threads'
import { attachWorker } from '../../dist/vm/worker.js'

const vm = await attachWorker(workerData.shared)
const WAYS = { batch: inBatch, runner: byRunner, context: onContext }
parentPort.on('message', ({ program, packets, repeat, way }) => {
  const run = WAYS[way]
  try {
    const verdicts = run(vm.programs[program], packets, repeat)
    parentPort.postMessage({ cpu: vm.cpu, verdicts })
  } catch (error) {
    parentPort.postMessage({ cpu: vm.cpu, error: String(error) })
  }
})
parentPort.postMessage({ ready: true })

/** Programs that take no packet. */
function onContext(program, contexts, repeat) {
  let retval = 0
  for (const ctx of contexts) retval = program.run({ ctx, repeat }).retval
  return [[retval, contexts.length * repeat]]
}

function inBatch(program, packets, repeat) {
  return [...program.runBatch(packets, { repeat }).counts]
}

function byRunner(program, packets, repeat) {
  const runner = program.runner({})
  const counts = new Map()
  for (let i = 0; i < repeat; i++) {
    for (const packet of packets) {
      const verdict = runner.run(packet)
      counts.set(verdict, (counts.get(verdict) ?? 0) + 1)
    }
  }
  return [...counts]
}
