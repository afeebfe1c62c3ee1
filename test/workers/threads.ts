import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { load, openObject, type LoadedObject } from '../../src/loader/index.ts'
import { createVm, type Vm, type VmOptions } from '../../src/vm/index.ts'
import { loadFixture } from '../support/fixture.ts'

/** What a thread is told to do: runs of a program on packets, `repeat` times all of them. */
export interface Job {
  readonly program: string
  readonly packets: readonly Uint8Array[]
  readonly repeat: number
  readonly way: 'batch' | 'runner' | 'context'
}
export interface Answer {
  readonly cpu: number
  readonly verdicts?: readonly (readonly [verdict: number, count: number])[]
  readonly error?: string
}

function answer<T>(thread: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    thread.once('error', reject)
    thread.once('message', (message: T) => {
      thread.off('error', reject)
      resolve(message)
    })
  })
}

/** The threads of shared vms, each with a CPU of its own. */
export class Threads {
  readonly all: Worker[] = []

  /** Starts one on the vm's next CPU. */
  async start(vm: Vm, file: string = 'thread.mjs'): Promise<Worker> {
    const path = fileURLToPath(new URL(file, import.meta.url))
    const thread = new Worker(path, { workerData: { shared: vm.fork() } })
    this.all.push(thread)
    await answer(thread)
    return thread
  }

  /** Loads an object into a shared vm, with so many threads. */
  async load(
    object: string,
    count: number,
    options: VmOptions = {},
    beforeFork: (loaded: LoadedObject) => void = () => {},
  ): Promise<LoadedObject & { readonly backend: Vm }> {
    const spec = openObject(await loadFixture(`test/workers/${object}.bpf.o`), { name: object })
    const loaded = await load(spec, createVm({ shared: true, cpus: count + 1, ...options }), { strict: true })
    beforeFork(loaded)
    await Promise.all(Array.from({ length: count }, () => this.start(loaded.backend as Vm)))
    return loaded as LoadedObject & { readonly backend: Vm }
  }

  /** All threads at once, each with a job of its own. */
  together(job: (thread: number) => Job): Promise<Answer[]> {
    return Promise.all(this.all.map((thread, i) => this.run(thread, job(i))))
  }

  run(thread: Worker, job: Job): Promise<Answer> {
    const result = answer<Answer>(thread)
    thread.postMessage(job)
    return result
  }

  async stop(): Promise<void> {
    for (const thread of this.all.splice(0)) await thread.terminate()
  }
}

/** Verdicts of all threads added up. */
export function sum(answers: readonly Answer[]): Record<number, number> {
  const all: Record<number, number> = {}
  for (const { verdicts, error } of answers) {
    if (error !== undefined) throw new Error(error)
    for (const [verdict, count] of verdicts ?? []) all[verdict] = (all[verdict] ?? 0) + count
  }
  return all
}

export const packet = (first: number, second: number): Uint8Array => Uint8Array.of(first, second, ...new Uint8Array(62))
export const packets = (first: number, count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => packet(first, i))
