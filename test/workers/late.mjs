// A worker thread of workers.test.ts that loads the vm before it opens its CPU, which is too late then.
import { parentPort, workerData } from 'node:worker_threads'
import '../../dist/vm/index.js'
import { attachWorker } from '../../dist/vm/worker.js'

parentPort.postMessage(await attachWorker(workerData.shared))
