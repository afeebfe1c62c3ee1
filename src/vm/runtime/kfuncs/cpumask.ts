import type { Helper } from '../helpers/helper.ts'
import type { Runtime } from '../runtime.ts'

/** CPUs of a mask (the vm has at most 1024), and struct bpf_cpumask: the mask and a u32 count of references. */
const BYTES = 128
const REFERENCES: number = BYTES
const SIZE = BYTES + 8

/** Numbers of the CPUs in a mask. */
function members(rt: Runtime, mask: number): number[] {
  return Array.from({ length: rt.cpus }, (_, cpu) => cpu).filter((cpu) => has(rt, mask, cpu))
}

function has(rt: Runtime, mask: number, cpu: number): boolean {
  return ((rt.memory.u8[mask + (cpu >>> 3)] as number) & (1 << (cpu & 7))) !== 0
}

function put(rt: Runtime, mask: number, cpu: number, on: boolean): void {
  const at = mask + (cpu >>> 3)
  const bit = 1 << (cpu & 7)
  const byte = rt.memory.u8[at] as number
  rt.memory.u8[at] = on ? byte | bit : byte & ~bit
}

/** (cpu, mask): sets the CPU and gives whether it was set before; CPUs that the vm has not are left alone. */
function change(on: boolean, answer: boolean): Helper {
  return (rt, cpu) => {
    const mask = rt.pointer(2, BYTES, 'a cpumask')
    if (cpu >= rt.cpus) return 0
    const before = has(rt, mask, cpu)
    put(rt, mask, cpu, on)
    return answer && before ? 1 : 0
  }
}

/** (mask, a, b): the mask made of two others; whether any CPU is in it. */
function combine(rule: (a: boolean, b: boolean) => boolean): Helper {
  return (rt) => {
    const [to, a, b] = [
      rt.pointer(1, BYTES, 'a cpumask'),
      rt.pointer(2, BYTES, 'a cpumask'),
      rt.pointer(3, BYTES, 'a cpumask'),
    ]
    let any = 0
    for (let cpu = 0; cpu < rt.cpus; cpu++) {
      const on = rule(has(rt, a, cpu), has(rt, b, cpu))
      if (on) any = 1
      put(rt, to, cpu, on)
    }
    return any
  }
}

/** (a, b): whether the rule holds for the pair of bits of every CPU. */
function every(rule: (a: boolean, b: boolean) => boolean): Helper {
  return (rt) => {
    const [a, b] = [rt.pointer(1, BYTES, 'a cpumask'), rt.pointer(2, BYTES, 'a cpumask')]
    for (let cpu = 0; cpu < rt.cpus; cpu++) if (!rule(has(rt, a, cpu), has(rt, b, cpu))) return 0
    return 1
  }
}

function fill(on: boolean): Helper {
  return (rt) => {
    const mask = rt.pointer(1, BYTES, 'a cpumask')
    for (let cpu = 0; cpu < rt.cpus; cpu++) put(rt, mask, cpu, on)
    return 0
  }
}

const count: Helper = (rt) => members(rt, rt.pointer(1, BYTES, 'a cpumask')).length

/** Kernel functions on CPU masks, by name. */
export const CPUMASK_KFUNCS: Readonly<Record<string, Helper>> = {
  bpf_cpumask_create: (rt) => {
    const mask = rt.memory.allocate(SIZE)
    rt.memory.setU32(mask + REFERENCES, 1)
    return mask
  },
  bpf_cpumask_acquire: (rt) => {
    const mask = rt.pointer(1, SIZE, 'a cpumask')
    rt.memory.setU32(mask + REFERENCES, rt.memory.u32(mask + REFERENCES) + 1)
    return mask
  },
  bpf_cpumask_release: (rt) => {
    const mask = rt.pointer(1, SIZE, 'a cpumask')
    const left = rt.memory.u32(mask + REFERENCES) - 1
    rt.memory.setU32(mask + REFERENCES, left >>> 0)
    if (left === 0) rt.afterGracePeriod(() => rt.memory.free(mask, SIZE))
    return 0
  },
  /** The vm's number of CPUs when there is none, as nr_cpu_ids in the kernel. */
  bpf_cpumask_first: (rt) => members(rt, rt.pointer(1, BYTES, 'a cpumask'))[0] ?? rt.cpus,
  bpf_cpumask_first_zero: (rt) => {
    const mask = rt.pointer(1, BYTES, 'a cpumask')
    for (let cpu = 0; cpu < rt.cpus; cpu++) if (!has(rt, mask, cpu)) return cpu
    return rt.cpus
  },
  bpf_cpumask_set_cpu: change(true, false),
  bpf_cpumask_clear_cpu: change(false, false),
  bpf_cpumask_test_and_set_cpu: change(true, true),
  bpf_cpumask_test_and_clear_cpu: change(false, true),
  bpf_cpumask_test_cpu: (rt, cpu) => (cpu < rt.cpus && has(rt, rt.pointer(2, BYTES, 'a cpumask'), cpu) ? 1 : 0),
  bpf_cpumask_setall: fill(true),
  bpf_cpumask_clear: fill(false),
  bpf_cpumask_and: combine((a, b) => a && b),
  bpf_cpumask_or: combine((a, b) => a || b),
  bpf_cpumask_xor: combine((a, b) => a !== b),
  bpf_cpumask_equal: every((a, b) => a === b),
  bpf_cpumask_subset: every((a, b) => !a || b),
  bpf_cpumask_intersects: (rt, ...args) => 1 - Number(every((a, b) => !(a && b))(rt, ...args)),
  bpf_cpumask_empty: (rt, ...args) => (count(rt, ...args) === 0 ? 1 : 0),
  bpf_cpumask_full: (rt, ...args) => (count(rt, ...args) === rt.cpus ? 1 : 0),
  bpf_cpumask_weight: count,
  bpf_cpumask_copy: (rt) => {
    rt.memory.copy(rt.pointer(1, BYTES, 'a cpumask'), rt.pointer(2, BYTES, 'a cpumask'), BYTES)
    return 0
  },
  bpf_cpumask_any_distribute: (rt) => members(rt, rt.pointer(1, BYTES, 'a cpumask'))[0] ?? rt.cpus,
}
