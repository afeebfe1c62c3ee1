// Worker of faults.mjs: runs a program that writes events until it is told to stop; then says how many.
import { parentPort, workerData } from 'node:worker_threads'
import { openKernelBackend } from '../../dist/kernel/index.js'

const COUNT = 5000
const backend = openKernelBackend()
const program = backend.programById(workerData.id)
const packet = new Uint8Array(64)
new DataView(packet.buffer).setUint32(0, COUNT, true)
let total = 0
while (Atomics.load(workerData.stop, 0) === 0) {
  program.run({ data: packet })
  total += COUNT
}
program.close()
backend.close()
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port, not a window
parentPort.postMessage(total)
