// Cases of isa-vs-kernel: every instruction, with its operands in every class, on edge values. A batch is one program
// of many fragments; each fragment computes one 64-bit result and stores it in the context, which a syscall program gets
// back. Operands come from the context (unknown to a compiler) or are constants in the program.

export const EDGES = [
  0n,
  1n,
  2n,
  0x1fn,
  0x40n,
  0x7fn,
  0x80n,
  0x7fffn,
  0x8000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x0123456789abcdefn,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffff80000000n,
  0xfffffffffffffffen,
  0xffffffffffffffffn,
]
const IMMS = [0, 1, -1, 2, 7, 63, 128, 255, 65535, 0x7fffffff, -0x80000000, -128, 0x12345678]
const ALU = ['+=', '-=', '*=', '/=', '%=', 's/=', 's%=', '|=', '&=', '^=', '<<=', '>>=', 's>>=', '=']
const CONDITIONS = ['==', '!=', '>', '>=', '<', '<=', '&', 's>', 's>=', 's<', 's<=']
const FETCHING = ['add', 'or', 'and', 'xor']
/** Bytes of the context in front of the results: the two operands. */
const OPERANDS = 16
const PER_BATCH = 60
/** Where the context's address is kept. */
const CTX = 'r10 - 512'

/** Context of one run. */
export function context(batch, [a, b]) {
  const bytes = new Uint8Array(OPERANDS + 8 * batch.fragments)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, a, true)
  view.setBigUint64(8, b, true)
  return bytes
}

const PAIRS = EDGES.flatMap((a) => EDGES.map((b) => [a, b]))
const SINGLES = EDGES.map((a) => [a, 0x5555aaaa3333ccccn])
/** Pairs where each value comes in both places a few times. */
const MIXED = EDGES.flatMap((a, i) => [1, 5, 11].map((step) => [a, EDGES[(i + step) % EDGES.length]]))

let turn = 0
/** Three registers, others each time. */
function registers() {
  turn++
  const d = turn % 10
  const s = (d + 1 + (turn % 8)) % 10
  const p = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].find((n) => n !== d && n !== s)
  return { d, s, p }
}

const hexOf = (value) => `0x${value.toString(16)} ll`

/** A fragment with operands in registers d and s, from the context; the result is in d afterwards. */
const unknown = (body) => {
  const { d, s, p } = registers()
  const lines = [`r${p} = *(u64 *)(${CTX})`, `r${d} = *(u64 *)(r${p} + 0)`, `r${s} = *(u64 *)(r${p} + 8)`]
  return { lines: [...lines, ...body(d, s, p)], d, p }
}

/** The same with constants. */
const constant = (a, b, body) => {
  const { d, s, p } = registers()
  return { lines: [`r${d} = ${hexOf(a)}`, `r${s} = ${hexOf(b)}`, ...body(d, s, p)], d, p }
}

let labels = 0
/** 1 in d when the condition holds, else 0. */
const taken = (d, s, condition) => {
  const label = `L${labels++}`
  return [`if ${condition} goto ${label}`, `r${d} = 0`, `goto ${label}e`, `${label}:`, `r${d} = 1`, `${label}e:`]
}

function batchesOf(name, fragments, runs, options = {}) {
  const batches = []
  for (let at = 0; at < fragments.length; at += options.size ?? PER_BATCH) {
    const part = fragments.slice(at, at + (options.size ?? PER_BATCH))
    const text = [`*(u64 *)(${CTX}) = r1`]
    part.forEach(({ lines, d, p }, i) => {
      text.push(...lines, `r${p} = *(u64 *)(${CTX})`, `*(u64 *)(r${p} + ${OPERANDS + 8 * i}) = r${d}`)
    })
    text.push('r0 = 7', 'exit', ...(options.functions ?? []))
    const number = Math.floor(at / (options.size ?? PER_BATCH))
    batches.push({ name: `${name} ${number}`, type: 'syscall', text: text.join('\n'), fragments: part.length, runs })
  }
  return batches
}

const WIDTHS = ['r', 'w']
/** Immediates that the kernel takes for an operator. */
const immsOf = (op, w) => {
  if (op.includes('<<') || op.includes('>>')) return w === 'r' ? [0, 1, 7, 16, 31, 32, 33, 63] : [0, 1, 7, 15, 16, 31]
  return /[/%]/.test(op) ? IMMS.filter((imm) => imm !== 0) : IMMS
}

function arithmetic() {
  const reg = WIDTHS.flatMap((w) => ALU.map((op) => ({ w, op })))
  const same = reg.map(({ w, op }) => unknown((d) => [`${w}${d} ${op} ${w}${d}`]))
  const imm = reg.flatMap(({ w, op }) => immsOf(op, w).map((n) => unknown((d) => [`${w}${d} ${op} ${n}`])))
  const extend = ['r 8', 'r 16', 'r 32', 'w 8', 'w 16'].map((text) => text.split(' '))
  const unary = [
    ...extend.map(([w, bits]) => unknown((d, s) => [`${w}${d} = (s${bits})${w}${s}`])),
    ...WIDTHS.map((w) => unknown((d) => [`${w}${d} = -${w}${d}`])),
    ...['le', 'be', 'bswap'].flatMap((op) => [16, 32, 64].map((n) => unknown((d) => [`r${d} = ${op}${n} r${d}`]))),
  ]
  const unaryConstant = EDGES.flatMap((a) => [
    ...extend.map(([w, bits]) => constant(a, a, (d, s) => [`${w}${d} = (s${bits})${w}${s}`])),
    ...WIDTHS.map((w) => constant(a, a, (d) => [`${w}${d} = -${w}${d}`])),
    ...['le', 'be', 'bswap'].flatMap((op) =>
      [16, 32, 64].map((n) => constant(a, a, (d) => [`r${d} = ${op}${n} r${d}`])),
    ),
  ])
  const swapped = EDGES.map((a) => [0x1122334455667788n, a])
  // Both operands known, or only the right one.
  const known = PAIRS.flatMap(([a, b]) => reg.map(({ w, op }) => constant(a, b, (d, s) => [`${w}${d} ${op} ${w}${s}`])))
  const half = EDGES.flatMap((b) =>
    reg.map(({ w, op }) => unknown((d, s) => [`r${s} = ${hexOf(b)}`, `${w}${d} ${op} ${w}${s}`])),
  )
  return [
    ...batchesOf(
      'alu register',
      reg.map(({ w, op }) => unknown((d, s) => [`${w}${d} ${op} ${w}${s}`])),
      PAIRS,
    ),
    ...batchesOf('alu same register', same, SINGLES),
    ...batchesOf('alu immediate', imm, SINGLES),
    ...batchesOf('alu unary', unary, swapped),
    ...batchesOf('alu unary in place', unary, SINGLES),
    ...batchesOf('alu unary constant', unaryConstant, [[0n, 0n]]),
    ...batchesOf('alu constant', known, [[0n, 0n]]),
    ...batchesOf('alu half constant', half, SINGLES.slice(0, 19)),
  ]
}

/** What the kernel's verifier refuses, but RFC 9669 defines. */
function refused() {
  const shifts = ['<<=', '>>=', 's>>=']
  return shifts.flatMap((op) =>
    [
      ['r', 64],
      ['r', -1],
      ['w', 32],
      ['w', 63],
    ].flatMap(([w, n]) =>
      batchesOf(`shift out of range ${w} ${op} ${n}`, [unknown((d) => [`${w}${d} ${op} ${n}`])], SINGLES),
    ),
  )
}

function branches() {
  const forms = WIDTHS.flatMap((w) => CONDITIONS.map((op) => ({ w, op })))
  const reg = forms.map(({ w, op }) => unknown((d, s) => taken(d, s, `${w}${d} ${op} ${w}${s}`)))
  const same = forms.map(({ w, op }) => unknown((d, s) => taken(d, s, `${w}${d} ${op} ${w}${d}`)))
  const imm = forms.flatMap(({ w, op }) => IMMS.map((n) => unknown((d, s) => taken(d, s, `${w}${d} ${op} ${n}`))))
  const known = PAIRS.flatMap(([a, b]) =>
    forms.map(({ w, op }) => constant(a, b, (d, s) => taken(d, s, `${w}${d} ${op} ${w}${s}`))),
  )
  const jumps = [
    unknown((d, s) => [`if r${s} == 1 goto J0`, 'goto J1', 'J0:', `r${d} = 1`, 'J1:']),
    unknown((d, s) => [`if r${s} == 1 goto J11`, 'gotol J2', 'J11:', `r${d} = 1`, 'J2:']),
    unknown((d) => ['goto J3', 'J4:', `r${d} += 3`, 'goto J5', 'J3:', 'goto J4', 'J5:']),
    unknown((d) => ['gotol J6', 'J7:', `r${d} += 3`, 'gotol J8', 'J6:', 'gotol J7', 'J8:']),
    unknown((d) => ['may_goto J9', `r${d} += 5`, 'J9:']),
    unknown((d) => [`r${d} = 0`, 'J10:', `r${d} += 1`, `if r${d} < 9 goto J10`]),
  ]
  return [
    ...batchesOf('branch register', reg, PAIRS, { size: 11 }),
    ...batchesOf('branch same register', same, SINGLES, { size: 11 }),
    ...batchesOf('branch immediate', imm, SINGLES, { size: 13 }),
    ...batchesOf('branch constant', known, [[0n, 0n]]),
    ...batchesOf('jump', jumps, SINGLES),
  ]
}

const SIZES = [1, 2, 4, 8]
const STACK = ['r10 - 16', 'r10 - 8']
/** A place `at` bytes behind r10 - 16. */
const place = (at) => `r10 - ${16 - at}`
const everyOffset = (size) => Array.from({ length: 16 / size }, (_, i) => i * size)
const stored = (d, s) => [`*(u64 *)(${STACK[0]}) = r${d}`, `*(u64 *)(${STACK[1]}) = r${s}`]

function memory() {
  const loads = SIZES.flatMap((size) =>
    (size === 8 ? ['u'] : ['u', 's']).flatMap((sign) =>
      everyOffset(size).map((at) =>
        unknown((d, s) => [...stored(d, s), `r${d} = *(${sign}${size * 8} *)(${place(at)})`]),
      ),
    ),
  )
  const word = (at) => STACK[at < 8 ? 0 : 1]
  const stores = SIZES.flatMap((size) =>
    everyOffset(size).flatMap((at) => [
      unknown((d, s) => [...stored(s, s), `*(u${size * 8} *)(${place(at)}) = r${d}`, `r${d} = *(u64 *)(${word(at)})`]),
      ...IMMS.map((imm) =>
        unknown((d, s) => [
          ...stored(s, s),
          `*(u${size * 8} *)(${place(at)}) = ${imm}`,
          `r${d} = *(u64 *)(${word(at)})`,
        ]),
      ),
    ]),
  )
  const ordered = SIZES.flatMap((size) =>
    everyOffset(size).flatMap((at) => [
      unknown((d, s) => [...stored(d, s), `r${d} = load_acquire((u${size * 8} *)(${place(at)}))`]),
      unknown((d, s) => [
        ...stored(s, s),
        `store_release((u${size * 8} *)(${place(at)}), r${d})`,
        `r${d} = *(u64 *)(${word(at)})`,
      ]),
    ]),
  )
  // Values of maps may be read and written at any address.
  const unaligned = SIZES.flatMap((size) =>
    [1, 3, 5, 6].flatMap((at) => [
      unknown((d, s, p) => [
        `r${p} = map[id:2][0]+8`,
        `*(u64 *)(r${p} + 0) = r${d}`,
        `*(u64 *)(r${p} + 8) = r${s}`,
        `r${d} = *(u${size * 8} *)(r${p} + ${at})`,
      ]),
      unknown((d, s, p) => [
        `r${p} = map[id:2][0]+16`,
        `*(u64 *)(r${p} + 0) = r${s}`,
        `*(u64 *)(r${p} + 8) = r${s}`,
        `*(u${size * 8} *)(r${p} + ${at}) = r${d}`,
        `r${d} = *(u64 *)(r${p} + 4)`,
      ]),
    ]),
  )
  const wide = EDGES.map((value) => unknown((d) => [`r${d} = ${hexOf(value)}`]))
  return [
    ...batchesOf('load', loads, MIXED),
    ...batchesOf('store', stores, MIXED.slice(0, 19)),
    ...batchesOf('acquire and release', ordered, MIXED),
    ...batchesOf('unaligned', unaligned, MIXED),
    ...batchesOf('ld_imm64', wide, [[0n, 0n]]),
  ]
}

function atomics() {
  const fragments = []
  for (const size of [4, 8]) {
    const cast = `u${size * 8} *`
    const name = size === 8 ? 'atomic64' : 'atomic'
    const w = size === 8 ? 'r' : 'w'
    const both = (op) => {
      // What is in memory, and what is in the register afterwards.
      fragments.push(
        unknown((d, s) => [...stored(d, d), op(s), `r${d} = *(u64 *)(${STACK[0]})`]),
        unknown((d, s) => [...stored(d, d), op(s), `r${d} = r${s}`]),
      )
    }
    for (const [i, op] of FETCHING.entries()) {
      both((s) => `lock *(${cast})(${STACK[0]}) ${['+=', '|=', '&=', '^='][i]} ${w}${s}`)
      both((s) => `r${s} = ${name}_fetch_${op}((${cast})(${STACK[0]}), r${s})`)
    }
    both((s) => `r${s} = ${name}_xchg((${cast})(${STACK[0]}), r${s})`)
    // r0 is compared: with what is there, with something else, and with what only the low half equals.
    for (const compared of ['r6', 'r7', 'w6']) {
      for (const result of [`*(u64 *)(${STACK[0]})`, 'r0']) {
        const lines = [`r1 = *(u64 *)(${CTX})`, 'r6 = *(u64 *)(r1 + 0)', 'r7 = *(u64 *)(r1 + 8)', ...stored(6, 6)]
        lines.push(compared.startsWith('w') ? `w0 = ${compared}` : `r0 = ${compared}`)
        lines.push(`r0 = ${name}_cmpxchg((${cast})(${STACK[0]}), r0, r7)`, `r8 = ${result}`)
        fragments.push({ lines, d: 8, p: 9 })
      }
    }
  }
  return batchesOf('atomic', fragments, PAIRS)
}

function calls() {
  const functions = ['F1:', 'r0 = r1', 'r0 -= r2', 'exit', 'F2:', 'r6 = r1', 'call F1', 'r6 ^= r0', 'r0 = r6', 'exit']
  functions.push('F3:', '*(u64 *)(r10 - 8) = r2', 'r0 = *(u64 *)(r10 - 8)', 'r0 += r1', 'exit')
  const load = [`r8 = *(u64 *)(${CTX})`, 'r1 = *(u64 *)(r8 + 0)', 'r2 = *(u64 *)(r8 + 8)']
  const fragments = ['F1', 'F2', 'F3'].flatMap((name) => [
    { lines: [...load, `call ${name}`], d: 0, p: 9 },
    { lines: [...load, 'r6 = r1', `call ${name}`, 'r0 += r6'], d: 0, p: 9 },
  ])
  const helper = (lines) => ({
    lines: [...load, '*(u32 *)(r10 - 8) = 0', 'r1 = map[id:0]', 'r2 = r10', 'r2 += -8', ...lines],
    d: 0,
    p: 9,
  })
  const lookups = [
    helper(['call bpf_map_lookup_elem', 'if r0 == 0 goto C1', 'r0 = *(u64 *)(r0 + 8)', 'C1:']),
    helper([
      '*(u32 *)(r10 - 8) = 99',
      'call bpf_map_lookup_elem',
      'if r0 == 0 goto C2',
      'r0 = 1',
      'C2:',
      'r6 = 5',
      'if r0 != 0 goto C3',
      'r0 = 3',
      'C3:',
    ]),
  ]
  // The stack of callees comes on top: the context is kept in a saved register.
  const inSaved = ({ lines, d, p }) => ({ lines: lines.map((l) => l.replace('r10 - 512', 'r10 - 64')), d, p })
  return [
    ...batchesOf('call', fragments.map(inSaved), PAIRS, { functions }).map((batch) => ({
      ...batch,
      text: batch.text.replaceAll('r10 - 512', 'r10 - 64'),
    })),
    ...batchesOf('helper', lookups, SINGLES.slice(0, 4)),
  ]
}

/** LD_ABS and LD_IND, which only programs with a packet have; the result is in the data map. */
function packets() {
  const batches = []
  const offsets = [0, 1, 12, 13, 30, 60, 62, 63, 64, 100, -4096, -1048576, -2097152, 0x7fffffff]
  const add = (name, lines) => {
    const text = ['r6 = r1', ...lines, 'r7 = map[id:2][0]+0', '*(u64 *)(r7 + 0) = r0', 'r0 = 1', 'exit'].join('\n')
    batches.push({ name: `packet ${name}`, type: 'tc', text, fragments: 1, runs: [[0n, 0n]] })
  }
  for (const bits of [8, 16, 32]) {
    for (const at of offsets) {
      add(`abs ${bits} ${at}`, [`r0 = *(u${bits} *)skb[${at}]`])
      add(`ind ${bits} ${at}`, [`r7 = ${at}`, `r0 = *(u${bits} *)skb[r7 + 0]`])
      add(`ind + ${bits} ${at}`, [`r7 = 2`, `r0 = *(u${bits} *)skb[r7 + ${at}]`])
    }
  }
  return batches
}

/** All batches; the same each time. */
export function batches() {
  turn = 0
  labels = 0
  return [...arithmetic(), ...branches(), ...memory(), ...atomics(), ...calls(), ...packets(), ...refused()]
}

/** Packet of the batches that get one. */
export function testPacket() {
  return Uint8Array.from({ length: 64 }, (_, i) => (i === 12 ? 0x88 : i === 13 ? 0xb5 : (i * 37 + 129) & 255))
}
