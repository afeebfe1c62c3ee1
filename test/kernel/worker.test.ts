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

// Test runs that are under way on libuv's pool; a struct bpf_attr by hand, as a worker has no TypeScript here.
const RUNNING = `
const { parentPort, workerData } = require('node:worker_threads')
const binding = require(workerData)
const load = new DataView(new ArrayBuffer(128))
load.setUint32(0, 6, true)
load.setUint32(4, 2, true)
const insns = Uint8Array.of(0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0)
const fd = binding.bpf(5, new Uint8Array(load.buffer), [[8, insns], [16, new Uint8Array(4)]])
for (let i = 0; i < 2; i++) {
  const test = new DataView(new ArrayBuffer(80))
  test.setUint32(0, fd, true)
  test.setUint32(8, 64, true)
  test.setUint32(32, 1_000_000, true)
  void binding.bpfAsync(10, new Uint8Array(test.buffer), [[16, new Uint8Array(64)]])
}
parentPort.postMessage(fd >= 0)
`

const run = await kernelTestsRun()

async function terminateAtOnce(code: string): Promise<unknown> {
  const found = loadBinding()
  if (!found.ok) throw new Error(found.reasons.join())
  const worker = new Worker(code, { eval: true, workerData: found.path })
  const message = await new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  expect(await worker.terminate()).toBe(1)
  return message
}

describe.runIf(run)('worker threads', () => {
  it('survives terminate() while a ring buffer is polled', async () => {
    for (let i = 0; i < 5; i++) expect(await terminateAtOnce(POLLING)).toEqual([4096, 3 * 4096])
  })

  it('survives terminate() while programs run on the pool', async () => {
    for (let i = 0; i < 3; i++) expect(await terminateAtOnce(RUNNING)).toBe(true)
  })
})
