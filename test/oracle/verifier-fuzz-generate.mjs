// Random programs for verifier-fuzz.mjs: a program is a list of steps, so that it can be made smaller by leaving some out.
import { BtfKind } from '../../dist/btf/index.js'
import { InsnBuffer } from '../../dist/isa/index.js'
import { bareProgram, mapSpec } from '../../dist/loader/index.js'
import { MapType, ProgType } from '../../dist/uapi/index.js'

/** Size of a value of the map that programs use. */
const VALUE_SIZE = 48

/** Numbers from 0 to 1, the same for the same seed. */
export function generator(seed) {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const IMMEDIATES = [
  0, 1, -1, 2, 7, 8, 15, 16, 31, 32, 63, 255, 256, 0x7fffffff, -0x80000000, 0xffff, -8, -16, 4096, 100,
]
const ALU = [0x00, 0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0x80, 0x30, 0x90]
const BRANCH = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0]
const STORES = [
  [0x7b, 8],
  [0x63, 4],
  [0x6b, 2],
  [0x73, 1],
]
const LOADS = [
  [0x79, 8],
  [0x61, 4],
  [0x69, 2],
  [0x71, 1],
  [0x81, 4],
  [0x91, 1],
]
/** Operations of BPF_ATOMIC: add, and, or, xor, with and without fetching, exchange, compare and exchange. */
const ATOMICS = [0x00, 0x50, 0x40, 0xa0, 0x01, 0x51, 0x41, 0xa1, 0xe1, 0xf1]
const NUMBERS = [0, 1, 2, 3, 6, 7]

/**
 * The steps of a random program. Registers: r6 and r7 unknown numbers, r8 a value of the map, r9 the context; r0 to r5
 * are free. A step is a list of rows [code, dst, src, off, imm]; `skip` in a row is a jump over so many steps, `back` one
 * to the start of the step, `over` a jump over so many rows, `fn` a call of the function of that number, `kfunc` one of a
 * kernel function, `map` the map.
 */
export function randomSteps(random) {
  const below = (n) => Math.floor(random() * n)
  const pick = (list) => list[below(list.length)]
  const reg = () => pick(NUMBERS)
  const makers = [
    [30, alu],
    [18, branch],
    [12, stack],
    [4, stackByNumber],
    [10, mapValue],
    [7, mapValueByNumber],
    [5, atomic],
    [6, packet],
    [4, helper],
    [4, call],
    [3, loop],
    [4, kernelFunction],
  ]
  const weights = makers.reduce((sum, [weight]) => sum + weight, 0)
  const steps = []
  for (let i = 4 + below(18); i > 0; i--) {
    let at = random() * weights
    const [, make] = makers.find(([weight]) => (at -= weight) < 0) ?? makers[0]
    steps.push(make())
  }
  return steps

  function alu() {
    const op = pick(ALU)
    const cls = pick([7, 4])
    if (op === 0x80) return [[cls | op, reg(), 0, 0, 0]]
    const fromReg = random() < 0.5
    const isShift = op === 0x60 || op === 0x70 || op === 0xc0
    const isDivision = op === 0x30 || op === 0x90
    const imm = isShift ? below(cls === 7 ? 64 : 32) : pick(IMMEDIATES)
    const extend = op === 0xb0 && fromReg && random() < 0.3 ? pick(cls === 7 ? [8, 16, 32] : [8, 16]) : 0
    const signed = isDivision && random() < 0.3 ? 1 : extend
    const safe = isDivision && imm === 0 ? 3 : imm
    return [[cls | op | (fromReg ? 8 : 0), reg(), fromReg ? reg() : 0, signed, fromReg ? 0 : safe]]
  }

  function branch() {
    const fromReg = random() < 0.5
    const code = pick([5, 6]) | pick(BRANCH) | (fromReg ? 8 : 0)
    return [[code, reg(), fromReg ? reg() : 0, { skip: 1 + below(5) }, fromReg ? 0 : pick(IMMEDIATES)]]
  }

  function stack() {
    const store = random() < 0.5
    const [code, size] = pick(store ? STORES : LOADS)
    const off = -size * (1 + below(32 / size))
    return [store ? [code, 10, reg(), off, 0] : [code, reg(), 10, off, 0]]
  }

  function stackByNumber() {
    return [
      [0xbf, 4, 10, 0, 0],
      [0x0f, 4, reg(), 0, 0],
      [pick([0x73, 0x7b]), 4, reg(), -pick([8, 16, 64, 512]), 0],
    ]
  }

  function mapValue() {
    const store = random() < 0.5
    const [code, size] = pick(store ? STORES : LOADS)
    const off = size * below(Math.floor(VALUE_SIZE / size) + (random() < 0.1 ? 1 : 0))
    return [store ? [code, 8, reg(), off, 0] : [code, reg(), 8, off, 0]]
  }

  function mapValueByNumber() {
    const by = reg()
    const [code] = pick(random() < 0.5 ? STORES : LOADS)
    const isStore = (code & 7) === 3
    const rows = random() < 0.6 ? [[pick([0x57, 0x54]), by, 0, 0, pick([7, 15, 31, 40, 47])]] : []
    const access = isStore ? [code, 4, reg(), pick([0, 0, 4, 8]), 0] : [code, reg(), 4, pick([0, 0, 4, 8]), 0]
    return [...rows, [0xbf, 4, 8, 0, 0], [pick([0x0f, 0x1f]), 4, by, 0, 0], access]
  }

  function atomic() {
    const size = pick([8, 4])
    const base = pick([8, 8, 10])
    const off = base === 8 ? size * below(VALUE_SIZE / size) : -size * (1 + below(32 / size))
    return [[size === 8 ? 0xdb : 0xc3, base, reg(), off, pick(ATOMICS)]]
  }

  function packet() {
    const length = pick([1, 4, 8, 14, 34, 64])
    const [code, size] = pick(random() < 0.3 ? STORES : LOADS)
    const isStore = (code & 7) === 3
    const off = below(length + (random() < 0.1 ? 4 : 1 - size) + 0) | 0
    const at = Math.max(0, off)
    const byNumber =
      random() < 0.3
        ? [
            [0x57, 6, 0, 0, pick([1, 7, 255])],
            [0x0f, 2, 6, 0, 0],
          ]
        : []
    return [
      [0x61, 2, 9, 0, 0],
      [0x61, 3, 9, 4, 0],
      ...byNumber,
      [0xbf, 4, 2, 0, 0],
      [0x07, 4, 0, 0, length],
      [pick([0x2d, 0x2d, 0x3d]), 4, 3, { over: 1 }, 0],
      isStore ? [code, 2, 6, at, 0] : [code, 5, 2, at, 0],
      // Packet pointers are no numbers for the steps that follow.
      [0xb7, 2, 0, 0, 0],
      [0xb7, 3, 0, 0, 5],
    ]
  }

  function helper() {
    const numbers = [
      [0xb7, 1, 0, 0, 1],
      [0xb7, 2, 0, 0, 0],
      [0xb7, 3, 0, 0, 5],
    ]
    const id = pick([5, 7, 8])
    if (random() < 0.6) return [[0x85, 0, 0, 0, id], ...numbers]
    // map_update_elem with key and value on the stack.
    return [
      [0x62, 10, 0, -4, below(3)],
      [0xbf, 2, 10, 0, 0],
      [0x07, 2, 0, 0, -4],
      [0xbf, 3, 10, 0, 0],
      [0x07, 3, 0, 0, -pick([8, 64, VALUE_SIZE])],
      [0xb7, 4, 0, 0, 0],
      { map: 1 },
      [0x85, 0, 0, 0, 2],
      ...numbers,
    ]
  }

  function call() {
    return [
      [0xbf, 1, pick([6, 7]), 0, 0],
      [0xbf, 2, pick([6, 7, 8, 10]), 0, 0],
      [0x85, 0, 1, { fn: below(2) }, 0],
      [0xb7, 1, 0, 0, 1],
      [0xb7, 2, 0, 0, 0],
      [0xb7, 3, 0, 0, 5],
    ]
  }

  function loop() {
    const counter = pick([1, 2])
    const body = random() < 0.5 ? alu() : stack()
    const uses = body.flatMap((row) => (row[1] === counter ? [[row[0], 3, ...row.slice(2)]] : [row]))
    const start = [[0xb7, counter, 0, 0, 0]]
    return [...start, ...uses, [0x07, counter, 0, 0, 1], [0xa5, counter, 0, { back: 1 }, 1 + below(12)]]
  }

  function kernelFunction() {
    const kfunc = (name) => [0x85, 0, 2, { kfunc: name }, 0]
    const toStack = (register, off) => [
      [0xbf, register, 10, 0, 0],
      [0x07, register, 0, 0, off],
    ]
    const numbers = [0, 1, 2, 3, 4].map((register) => [0xb7, register, 0, 0, register])
    const [enter, leave] = pick([
      ['bpf_rcu_read_lock', 'bpf_rcu_read_unlock'],
      ['bpf_preempt_disable', 'bpf_preempt_enable'],
    ])
    const off = -8 * (4 + below(4))
    switch (below(7)) {
      case 0: // Half of a region, which another step may complete.
        return [kfunc(pick([enter, leave])), ...numbers]
      case 1:
      case 2:
        return [kfunc(enter), ...numbers, ...(random() < 0.2 ? helper() : alu()), kfunc(leave), ...numbers]
      case 3: {
        const restored = random() < 0.8 ? off : off - 8
        const end = [...toStack(1, restored), kfunc('bpf_local_irq_restore'), ...numbers]
        return [...toStack(1, off), kfunc('bpf_local_irq_save'), ...numbers, ...alu(), ...end]
      }
      case 4: {
        // A slice of the packet, or of a buffer that it is copied to.
        const [code, size] = pick(LOADS)
        const length = pick([1, 4, 8, 16])
        const at = Math.max(0, below(length + (random() < 0.1 ? 2 : 1 - size)))
        return [
          [0xbf, 1, 9, 0, 0],
          [0xb7, 2, 0, 0, 0],
          ...toStack(3, -64),
          kfunc('bpf_dynptr_from_xdp'),
          ...toStack(1, -64),
          [0xb7, 2, 0, 0, below(20)],
          ...(random() < 0.5 ? [[0xb7, 3, 0, 0, 0]] : toStack(3, -32)),
          [0xb7, 4, 0, 0, length],
          kfunc(pick(['bpf_dynptr_slice', 'bpf_dynptr_slice', 'bpf_dynptr_slice_rdwr'])),
          ...(random() < 0.9 ? [[0x15, 0, 0, { over: 1 }, 0]] : []),
          [code, 5, 0, at, 0],
          ...numbers,
        ]
      }
      default: {
        const start = [...toStack(1, off), [0xb7, 2, 0, 0, 0], [0xb7, 3, 0, 0, below(200)], kfunc('bpf_iter_num_new')]
        const body = alu()
        const use = random() < 0.5 ? [[0x61, pick([2, 6, 7]), 0, 0, 0]] : []
        const next = [...toStack(1, off), kfunc('bpf_iter_num_next')]
        const rest = [...use, ...numbers, ...body]
        return [
          ...start,
          ...next,
          [0x15, 0, 0, { over: rest.length + 1 }, 0],
          ...rest,
          [0x05, 0, 0, { back: start.length }, 0],
          ...toStack(1, off),
          ...(random() < 0.9 ? [kfunc('bpf_iter_num_destroy')] : []),
          ...numbers,
        ]
      }
    }
  }
}

const PROLOGUE = [
  [0xbf, 9, 1, 0, 0],
  [0x61, 6, 1, 12, 0],
  [0x62, 10, 0, -4, 0],
  [0xbf, 2, 10, 0, 0],
  [0x07, 2, 0, 0, -4],
  { map: 1 },
  [0x85, 0, 0, 0, 1],
  [0x55, 0, 0, 2, 0],
  [0xb7, 0, 0, 0, 0],
  [0x95, 0, 0, 0, 0],
  [0xbf, 8, 0, 0, 0],
  [0x85, 0, 0, 0, 7],
  [0xbf, 7, 0, 0, 0],
  [0xb7, 1, 0, 0, 1],
  [0xb7, 2, 0, 0, 0],
  [0xb7, 3, 0, 0, 5],
]
const END = [
  [0xb7, 0, 0, 0, 0],
  [0x95, 0, 0, 0, 0],
]
/** Functions that steps call with two arguments, the second one maybe a pointer. */
const FUNCTIONS = [
  [
    [0xbf, 0, 1, 0, 0],
    [0x57, 0, 0, 0, 15],
    [0x95, 0, 0, 0, 0],
  ],
  [
    [0x7b, 10, 1, -8, 0],
    [0x79, 0, 10, -8, 0],
    [0x65, 0, 0, 1, 100],
    [0x07, 0, 0, 0, 3],
    [0x95, 0, 0, 0, 0],
  ],
]

const length = (rows) => rows.reduce((sum, row) => sum + (Array.isArray(row) ? 1 : 2), 0)

/** Instructions of a program, the slots where they load the map or call kernel functions, and its functions. */
function assembleSteps(steps) {
  const starts = []
  let at = length(PROLOGUE)
  for (const step of steps) {
    starts.push(at)
    at += length(step)
  }
  starts.push(at)
  at += END.length
  const isCalled = (fn) => steps.some((step) => step.some((row) => Array.isArray(row) && row[3].fn === fn))
  // What nobody calls would be code that cannot be reached.
  const called = FUNCTIONS.map((rows, fn) => (isCalled(fn) ? rows : []))
  const functions = called.map((rows) => (at += rows.length) - rows.length)
  const insns = new InsnBuffer(at)
  const maps = []
  const kfuncs = []
  let slot = 0
  const emit = (rows, index) => {
    for (const row of rows) {
      if (!Array.isArray(row)) {
        maps.push(slot)
        insns.code[slot] = 0x18
        insns.dst[slot] = 1
        slot += 2
        continue
      }
      const [code, dst, src, off, imm] = row
      insns.code[slot] = code
      insns.dst[slot] = dst
      insns.src[slot] = src
      insns.imm[slot] = imm
      if (typeof off === 'number') insns.off[slot] = off
      else if (off.skip !== undefined) insns.off[slot] = starts[Math.min(index + off.skip, steps.length)] - slot - 1
      else if (off.back !== undefined) insns.off[slot] = starts[index] + off.back - slot - 1
      else if (off.over !== undefined) insns.off[slot] = off.over
      else if (off.kfunc !== undefined) kfuncs.push({ insn: slot, name: off.kfunc })
      else insns.imm[slot] = functions[off.fn] - slot - 1
      slot++
    }
  }
  emit(PROLOGUE, 0)
  steps.forEach(emit)
  emit(END, 0)
  for (const rows of called) emit(rows, 0)
  const own = functions.flatMap((start, fn) => (called[fn].length === 0 ? [] : [{ name: `f${fn}`, start, btfId: 0 }]))
  return { insns, maps, kfuncs, functions: [{ name: 'f', start: 0, btfId: 0 }, ...own] }
}

/** A program of the steps, prepared for a backend that has {@link MAP}. */
export function randomProgram(steps, kernelBtf) {
  const { insns, maps, kfuncs, functions } = assembleSteps(steps)
  const lateReferences = [
    ...maps.map((insn) => ({ kind: 'map', insn, map: MAP.name })),
    ...kfuncs.map(({ insn, name }) => {
      const btfId = kernelBtf.findByName(name, BtfKind.FUNC) ?? 0
      return { kind: 'kfunc', insn, name, btfId, module: null, weak: false }
    }),
  ]
  return bareProgram(insns, { name: 'f', type: ProgType.XDP }, { functions, lateReferences })
}

/** The map that programs use. */
export const MAP = mapSpec({
  name: 'values',
  type: MapType.ARRAY,
  keySize: 4,
  valueSize: VALUE_SIZE,
  maxEntries: 2,
})
