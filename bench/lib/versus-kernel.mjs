// Times programs in the vm and in the kernel in turns; what the benchmarks of programs share.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { openKernelBackend, vmlinuxBtf } from '../../dist/kernel/index.js'
import { load, openObject } from '../../dist/loader/index.js'
import { createVm } from '../../dist/vm/index.js'

/** Least time of one measurement, in ns. */
const SLICE = 3e6
/** What the kernel's loop around a run takes, which its times include (reference: an empty program). */
export const KERNEL_LOOP_NS = 8

export const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]
export const geomean = (list) => Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length)
export const round = (x, digits) => Number(x.toFixed(digits))

/** Per-CPU maps are compared too, so the kernel has to run all programs on one CPU; V8's compiler may use the others. */
export function stayOnOneCpu() {
  try {
    execFileSync('taskset', ['-p', '-c', String(cpus().length - 1), String(process.pid)], { stdio: 'ignore' })
  } catch {
    console.log('no taskset: per-CPU maps may differ')
  }
}

/** The object, loaded into the kernel and into a vm; both verify it. */
export async function loadBoth(file, name) {
  const bytes = new Uint8Array(readFileSync(file))
  const sides = []
  for (const backend of [openKernelBackend(), createVm({ btf: vmlinuxBtf })]) {
    sides.push(await load(openObject(bytes, { name }), backend))
  }
  return sides
}

/**
 * Least and median time of a run in ns, of each side. `drained`: a map that has to be emptied between measurements and
 * how many runs there may be in one.
 */
export async function measure(name, sides, data, rounds, drained) {
  const time = (side, repeat) => {
    if (drained !== undefined) side.maps[drained.map].drain()
    for (;;) {
      try {
        return side.programs[name].run({ data, repeat }).durationNs
      } catch (error) {
        if (error.errno !== 'EINTR') throw error
      }
    }
  }
  const repeats = sides.map((side) => {
    let repeat = 2
    for (;;) {
      const most = drained?.repeat ?? 1e7
      // The lesser of two: one may have been interrupted.
      const ns = Math.min(time(side, repeat), time(side, repeat))
      if (ns * repeat >= SLICE || repeat >= most) return repeat
      repeat = Math.min(most, Math.max(repeat * 2, Math.ceil(SLICE / Math.max(1, ns))))
    }
  })
  // V8 compiles hot code in the background.
  await sleep(10)
  for (const [i, side] of sides.entries()) time(side, repeats[i])
  const times = sides.map(() => [])
  for (let i = 0; i < rounds; i++) {
    sides.forEach((side, k) => times[k].push(time(side, repeats[k])))
  }
  return times.map((list) => ({ min: Math.min(...list), median: median(list) }))
}

/** What a results file says of the machine. */
export function machine(rounds) {
  return {
    date: new Date().toISOString().slice(0, 10),
    kernel: release(),
    node: process.version,
    processors: cpus().length,
    rounds,
  }
}
