// Random programs, judged by the running kernel and by elfbee's verifier: every difference is a bug here.
//
//   node test/oracle/verifier-fuzz.mjs [--seed N] [--seconds N]
//
// Programs of arithmetic, moves, forward branches, stack loads and stores with fixed and variable offsets; no maps and no
// loops yet. Prints the seed of each difference; `--seed` of it and `--seconds 0` repeats that one program.
// Needs root, and the addon (npm run build:native or a prebuilt one).
import { InsnBuffer } from '../../dist/isa/index.js'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { verify } from '../../dist/vm/verifier/index.js'

const args = process.argv.slice(2)
const option = (name, otherwise) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : otherwise)
let state = option('--seed', 1)
const seconds = option('--seconds', 20)
const kernel = openKernelBackend()

function random() {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const below = (n) => Math.floor(random() * n)
const pick = (list) => list[below(list.length)]

const IMMEDIATES = [
  0, 1, -1, 2, 7, 8, 15, 16, 31, 32, 63, 255, 256, 0x7fffffff, -0x80000000, 0xffff, -8, -16, 4096, 100,
]
const REGISTERS = [0, 1, 2, 3, 6, 7, 8]
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
const JUMP = 'later'

/** One random instruction or a short sequence, as rows of code, dst, src, off, imm. */
function randomStep() {
  const reg = () => pick(REGISTERS)
  const kind = random()
  if (kind < 0.45) return [randomAlu(reg)]
  if (kind < 0.75) {
    const fromReg = random() < 0.5
    const code = pick([5, 6]) | pick(BRANCH) | (fromReg ? 8 : 0)
    return [[code, reg(), fromReg ? reg() : 0, JUMP, fromReg ? 0 : pick(IMMEDIATES)]]
  }
  if (kind < 0.94) {
    const store = kind < 0.85
    const [code, size] = pick(store ? STORES : LOADS)
    const off = -size * (1 + below(32 / size))
    return [store ? [code, 10, reg(), off, 0] : [code, reg(), 10, off, 0]]
  }
  return [
    [0xbf, 4, 10, 0, 0],
    [0x0f, 4, reg(), 0, 0],
    [pick([0x73, 0x7b]), 4, reg(), -pick([8, 16, 64, 512]), 0],
  ]
}

function randomAlu(reg) {
  const op = pick(ALU)
  const cls = pick([7, 4])
  if (op === 0x80) return [cls | op, reg(), 0, 0, 0]
  const fromReg = random() < 0.5
  const isShift = op === 0x60 || op === 0x70 || op === 0xc0
  const isDivision = op === 0x30 || op === 0x90
  const imm = isShift ? below(cls === 7 ? 64 : 32) : pick(IMMEDIATES)
  const extend = op === 0xb0 && fromReg && random() < 0.3 ? pick(cls === 7 ? [8, 16, 32] : [8, 16]) : 0
  const safe = isDivision && imm === 0 ? 3 : imm
  return [cls | op | (fromReg ? 8 : 0), reg(), fromReg ? reg() : 0, extend, fromReg ? 0 : safe]
}

function randomProgram() {
  // r6: 32 unknown bits of the context, r7: a random number; the others known.
  const rows = [
    [0x61, 6, 1, 16, 0],
    [0xbf, 9, 1, 0, 0],
    [0x85, 0, 0, 0, 7],
    [0xbf, 7, 0, 0, 0],
  ]
  rows.push(
    [0xb7, 8, 0, 0, pick(IMMEDIATES)],
    [0xb7, 1, 0, 0, pick(IMMEDIATES)],
    [0xb7, 2, 0, 0, 0],
    [0xb7, 3, 0, 0, 5],
  )
  for (let i = 4 + below(22); i > 0; i--) rows.push(...randomStep())
  const end = rows.length
  rows.push([0xb7, 0, 0, 0, 0], [0x95, 0, 0, 0, 0])
  const insns = new InsnBuffer(rows.length)
  rows.forEach(([code, dst, src, off, imm], i) => {
    insns.code[i] = code
    insns.dst[i] = dst
    insns.src[i] = src
    insns.off[i] = off === JUMP ? below(Math.min(end, i + 8) - i) : off
    insns.imm[i] = imm
  })
  return insns
}

const SPEC = {
  name: 'f',
  section: 'tc',
  functionIndex: 0,
  type: 3,
  attachType: null,
  flags: 0,
  attachTarget: null,
  autoload: true,
}
const counts = { programs: 0, accepted: 0, falseAccepts: 0, falseRefusals: 0, refusals: 0, sameMessage: 0 }
const until = Date.now() + seconds * 1000
do {
  const seed = state
  const program = {
    spec: SPEC,
    insns: randomProgram(),
    functions: [{ name: 'f', start: 0, btfId: 0 }],
    lateReferences: [],
    lines: [],
    core: [],
  }
  const request = { program, license: 'GPL', version: 0, btf: null, maps: new Map(), bindMaps: [], logLevel: 0 }
  let accepted = true
  let log = ''
  try {
    const loaded = kernel.loadProgram(request)
    loaded.close()
  } catch (error) {
    accepted = false
    log = error.log ?? error.message
  }
  const result = verify(program, { maps: {}, btf: null, kernelBtf: null, license: 'GPL' })
  counts.programs++
  if (accepted) counts.accepted++
  else {
    counts.refusals++
    if (result.message !== undefined && log.includes(result.message)) counts.sameMessage++
  }
  if (result.ok === accepted) continue
  if (result.ok) counts.falseAccepts++
  else counts.falseRefusals++
  console.log(
    `${result.ok ? 'FALSE ACCEPT' : 'false refusal'}: seed ${seed}: elfbee: ${result.message ?? 'ok'}; kernel: ${accepted ? 'ok' : log.trim().split('\n').slice(-3).join(' | ')}`,
  )
} while (Date.now() < until)
console.log(JSON.stringify(counts))
console.log(`verifier-fuzz: ${counts.programs - counts.falseAccepts - counts.falseRefusals} of ${counts.programs}`)
kernel.close()
process.exitCode = counts.falseAccepts + counts.falseRefusals === 0 ? 0 : 1
