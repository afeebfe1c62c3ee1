import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { loadBinding } from '../../src/kernel/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'

// What a ring buffer consumer holds: a polled map descriptor and two mappings.
const POLLING = `
const { parentPort, workerData } = require('node:worker_threads')
const binding = require(workerData)
const attr = new DataView(new ArrayBuffer(96))
attr.setUint32(0, 27, true)
attr.setUint32(12, 4096, true)
const fd = binding.bpf(0, new Uint8Array(attr.buffer), [])
globalThis.kept = [
  new binding.Poller(fd, () => {}),
  binding.mmap(fd, 4096, 3, 0),
  binding.mmap(fd, 3 * 4096, 1, 4096),
]
parentPort.postMessage(kept.slice(1).map((buffer) => buffer.byteLength))
`

const run = await kernelTestsRun()

describe.runIf(run)('worker threads', () => {
  it('survives terminate() while a ring buffer is polled', async () => {
    const found = loadBinding()
    if (!found.ok) throw new Error(found.reasons.join())
    for (let i = 0; i < 5; i++) {
      const worker = new Worker(POLLING, { eval: true, workerData: found.path })
      const lengths = await new Promise((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
      expect(lengths).toEqual([4096, 3 * 4096])
      expect(await worker.terminate()).toBe(1)
    }
  })
})
