// Worker of faults.mjs: listens to a ring buffer that is written to all the time, until it is terminated.
import { readFileSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { load, openObject } from '../../dist/loader/index.js'

const path = new URL('../kernel/links/objects/events.bpf.o', import.meta.url)
const backend = openKernelBackend()
const live = await load(openObject(new Uint8Array(readFileSync(path))), backend, { strict: true })
const packet = new Uint8Array(64)
new DataView(packet.buffer).setUint32(0, 100, true)
live.maps.events.events().listen(() => {})
setInterval(() => live.programs.write_ring.run({ data: packet }), 0)
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port, not a window
parentPort.postMessage('ready')
