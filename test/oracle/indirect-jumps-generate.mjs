// Programs with jump tables, from a seed: switches one after the other, in loops, jumping into each other, in functions
// of their own. Slots of the tables are counted in the program.

const PACKET = 16
const ALU = ['+=', '-=', '*=', '^=', '|=', '&=']

function random(seed) {
  let state = (Math.imul(seed + 1, 0x9e3779b9) ^ 0x2545f491) >>> 0
  return (n) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % n
  }
}

class Writer {
  lines = []
  slot = 0
  labels = new Map()
  tables = []
  names = 0

  put(...lines) {
    for (const line of lines) {
      this.lines.push(line)
      this.slot += line.endsWith(' ll') ? 2 : 1
    }
  }

  label(name = `L${this.names++}`) {
    this.lines.push(`${name}:`)
    this.labels.set(name, this.slot)
    return name
  }

  /** Whether control goes on behind the last line. */
  get falls() {
    return !/^(goto|gotox|exit)/.test(this.lines.at(-1))
  }

  name() {
    return `L${this.names++}`
  }

  /** The address of a table whose entries are labels. */
  table(register, labels) {
    this.tables.push({ insn: this.slot, labels })
    this.put(`r${register} = 0 ll`)
  }
}

/** Jumps to one of `labels` (a power of 2) by low bits of r7, which are used up. */
function dispatch(w, pick, labels) {
  const bits = Math.log2(labels.length)
  w.put('r1 = r7', `r1 &= ${labels.length - 1}`, `r7 >>= ${bits}`)
  const way = pick(5)
  if (way === 0) {
    // A bounds test in place of the mask's proof.
    w.put(`if r1 > ${labels.length - 1} goto out`)
  }
  w.put('r1 <<= 3')
  if (way === 1) {
    // An entry in front that is never used.
    w.table(2, [labels[0], ...labels])
    w.put('r2 += r1', 'r2 = *(u64 *)(r2 + 8)')
  } else if (way === 2) {
    w.table(2, labels)
    w.put('r1 += r2', 'r2 = *(u64 *)(r1 + 0)')
  } else {
    w.table(2, labels)
    w.put('r2 += r1', 'r2 = *(u64 *)(r2 + 0)')
  }
  if (way === 3) {
    // Through another register, and into another basic block.
    w.put('r3 = r2', 'if r7 == 0 goto +0', 'gotox r3')
  } else w.put('gotox r2')
}

function body(w, pick) {
  for (let i = pick(4); i >= 0; i--)
    w.put(`r8 ${ALU[pick(ALU.length)]} ${pick(2) === 0 ? pick(1000) + 1 : -pick(1000) - 1}`)
}

/** Cases that fall through or leave, with names that may stand for several entries. */
function cases(w, pick, size) {
  const names = Array.from({ length: 1 + pick(size) }, () => w.name())
  return { names, entries: Array.from({ length: size }, (_, i) => names[i < names.length ? i : pick(names.length)]) }
}

function writeCases(w, pick, names, after, leave) {
  for (const name of names) {
    w.label(name)
    body(w, pick)
    if (leave !== undefined && pick(3) === 0) leave()
    else if (pick(3) > 0) w.put(`goto ${after}`)
  }
  if (w.falls) w.put(`goto ${after}`)
}

const SIZES = [2, 4, 8, 16]

/** One switch after the other. */
function chain(w, pick) {
  for (let n = 1 + pick(3); n > 0; n--) {
    const { names, entries } = cases(w, pick, SIZES[pick(SIZES.length)])
    dispatch(w, pick, entries)
    const after = w.name()
    writeCases(w, pick, names, after)
    w.label(after)
    body(w, pick)
  }
}

/** A switch in a loop. */
function loop(w, pick) {
  const top = w.label()
  w.put('r9 += 1', `if r9 > ${2 + pick(3)} goto out`)
  const { names, entries } = cases(w, pick, SIZES[pick(3)])
  dispatch(w, pick, entries)
  writeCases(w, pick, names, top)
}

/** Every case jumps to the next one by itself, as interpreters do. */
function threaded(w, pick) {
  const { names, entries } = cases(w, pick, SIZES[pick(2)])
  dispatch(w, pick, entries)
  const next = () => {
    w.put('r9 += 1', `if r9 > ${2 + pick(2)} goto out`)
    dispatch(w, pick, entries)
  }
  for (const name of names) {
    w.label(name)
    body(w, pick)
    if (pick(4) > 0) next()
  }
  if (w.falls) w.put('goto out')
}

/** A switch whose cases jump into another one's. */
function tangled(w, pick) {
  const first = cases(w, pick, SIZES[pick(3)])
  const second = cases(w, pick, SIZES[pick(3)])
  const mixed = second.entries.map((entry) => (pick(3) === 0 ? first.names[pick(first.names.length)] : entry))
  dispatch(w, pick, first.entries)
  let left = false
  const leave = () => {
    w.put('r9 += 1', 'if r9 > 3 goto out')
    dispatch(w, pick, mixed)
    left = true
  }
  writeCases(w, pick, first.names, 'out', leave)
  // The kernel takes no instructions that nothing leads to.
  const used = second.names.filter((name) => mixed.includes(name))
  if (left && used.length > 0) writeCases(w, pick, used, 'out')
}

const SHAPES = [chain, loop, threaded, tangled]

/** r1 = numbers, gives r0; leaves by `out`. */
function writeFunction(w, pick, shape) {
  w.put('r7 = r1', 'r8 = 1', 'r9 = 0')
  shape(w, pick)
  // Somewhere behind all the jumps to it.
  w.label('out')
  w.put('r0 = r8', 'exit')
}

/**
 * @returns {{ text: string, starts: number[], tables: { insn: number, targets: number[] }[] }} an XDP program that takes
 * 16 bytes, its functions, and the instructions whose immediates are addresses of tables, with the slots in these
 */
export function generateJumps(seed) {
  const pick = random(seed)
  const shape = SHAPES[seed % SHAPES.length]
  const main = new Writer()
  main.put('r6 = *(u32 *)(r1 + 0)', 'r2 = *(u32 *)(r1 + 4)', 'r3 = r6', `r3 += ${PACKET}`, 'r0 = 0')
  if (seed % 3 !== 0) {
    main.put('if r3 > r2 goto +2', 'r1 = *(u64 *)(r6 + 0)', 'goto +1', 'exit')
    writeFunction(main, pick, shape)
    return finish([main])
  }
  // A function of its own.
  const sub = new Writer()
  writeFunction(sub, pick, shape)
  main.put('if r3 > r2 goto +3', 'r1 = *(u64 *)(r6 + 0)', 'CALL', 'r0 ^= 5', 'exit')
  main.lines[main.lines.indexOf('CALL')] = `call pc+2`
  return finish([main, sub])
}

function finish(parts) {
  let start = 0
  const lines = []
  const starts = []
  const tables = []
  for (const { lines: own, slot, labels, tables: uses } of parts) {
    starts.push(start)
    lines.push(...own)
    for (const { insn, labels: names } of uses) {
      tables.push({ insn: start + insn, targets: names.map((name) => start + labels.get(name)) })
    }
    start += slot
  }
  return { text: lines.join('\n'), starts, tables }
}

/** A packet of random bytes. */
export function generatePacket(seed, index) {
  const pick = random(seed * 1000 + index + 77)
  return Uint8Array.from({ length: 64 }, () => pick(256))
}
