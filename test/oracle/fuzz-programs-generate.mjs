// Structured random programs for fuzz-programs.mjs, as text for assemble(). What a program may do is kept track of, so
// that the kernel's verifier accepts most of them; it decides, nothing here has to be exact.
import { generator } from './vm-inputs.mjs'

/** Maps that programs refer to by number (map[id:N]); a data section is an array map with one element. */
export const MAPS = [
  { name: 'array', type: 2, keySize: 4, valueSize: 64, maxEntries: 4 },
  { name: 'hash', type: 1, keySize: 4, valueSize: 16, maxEntries: 8 },
  { name: 'data', type: 2, keySize: 4, valueSize: 128, maxEntries: 1 },
  { name: 'percpu', type: 6, keySize: 4, valueSize: 24, maxEntries: 2 },
  { name: 'lru', type: 9, keySize: 8, valueSize: 8, maxEntries: 64 },
]
const ARRAY = 0
const HASH = 1
const DATA = 2
const PERCPU = 3
const LRU = 4

export const TYPES = { xdp: 6, tc: 3, syscall: 31 }
/** Bytes of context that a syscall program gets. */
export const CTX_SIZE = 64
const PACKET_FIELDS = { xdp: [0, 4], tc: [76, 80] }

const EDGES = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffffffffffffn,
  0xffffffff00000000n,
  0xffffffff80000000n,
  0x0123456789abcdefn,
]
const IMMS = [
  0, 1, -1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 127, 128, 255, 256, 65535, 65536, 0x7fffffff, -0x80000000, -2, -128,
]
const ALU = ['+=', '-=', '*=', '|=', '&=', '^=', '/=', '%=', 's/=', 's%=']
const SHIFTS = ['<<=', '>>=', 's>>=']
const CONDITIONS = ['==', '!=', '>', '>=', '<', '<=', '&', 's>', 's>=', 's<', 's<=']
const MAX_LINES = 260

/** Text of one function; `entry` functions have the context in `ctx`. */
class FunctionWriter {
  constructor(r, options) {
    this.r = r
    this.lines = []
    this.labels = 0
    this.depth = 0
    this.loops = 0
    this.rounds = 1
    this.splits = 0
    Object.assign(this, options)
    /** Registers that hold numbers. */
    this.live = new Set(options.live)
    /** Stack bytes written, as multiples of 8 below r10. */
    this.stack = new Set()
  }

  emit(...lines) {
    this.lines.push(...lines)
  }

  label() {
    return `${this.name}_${this.labels++}`
  }

  imm() {
    return this.r.chance(70) ? this.r.pick(IMMS) : this.r.u32() | 0
  }

  /** A register that may be overwritten. */
  free() {
    return this.r.pick(this.registers)
  }

  /** A register with a number in it. */
  number() {
    const live = this.registers.filter((n) => this.live.has(n))
    if (live.length > 0) return this.r.pick(live)
    const n = this.free()
    this.set(n)
    return n
  }

  /** Puts some number in register n. */
  set(n) {
    const { r } = this
    if (r.chance(40)) this.emit(`r${n} = ${this.imm()}`)
    else if (r.chance(60)) this.emit(`r${n} = ${'0x' + r.pick(EDGES).toString(16)} ll`)
    else this.emit(`w${n} = ${this.imm()}`)
    this.live.add(n)
  }

  /** What a call leaves behind. */
  called() {
    for (const n of [1, 2, 3, 4, 5]) this.live.delete(n)
  }

  other(...used) {
    return this.r.pick(this.registers.filter((n) => !used.includes(n)))
  }

  alu() {
    const { r } = this
    const d = this.number()
    const letter = r.chance(60) ? 'r' : 'w'
    const bits = letter === 'r' ? 64 : 32
    switch (r.below(9)) {
      case 0:
        if (r.chance(50)) this.emit(`${letter}${d} ${r.pick(SHIFTS)} ${r.below(bits)}`)
        else this.emit(`${letter}${d} ${r.pick(SHIFTS)} ${letter}${this.number()}`)
        break
      case 1:
        this.emit(`${letter}${d} = -${letter}${d}`)
        break
      case 2:
        this.emit(`r${d} = ${r.pick(['le', 'be', 'bswap'])}${r.pick([16, 32, 64])} r${d}`)
        break
      case 3: {
        const to = this.free()
        const size = r.pick(letter === 'r' ? [8, 16, 32] : [8, 16])
        this.emit(r.chance(50) ? `${letter}${to} = (s${size})${letter}${d}` : `${letter}${to} = ${letter}${d}`)
        this.live.add(to)
        break
      }
      case 4:
      case 5: {
        let imm = this.imm()
        const op = r.pick(ALU)
        if (imm === 0 && /[/%]/.test(op)) imm = 3
        this.emit(`${letter}${d} ${op} ${imm}`)
        break
      }
      default:
        this.emit(`${letter}${d} ${r.pick(ALU)} ${letter}${r.chance(10) ? d : this.number()}`)
    }
  }

  slot() {
    return 8 * (1 + this.r.below(6))
  }

  stackStore() {
    const { r } = this
    const slot = this.slot()
    if (!this.stack.has(slot)) {
      if (r.chance(30)) this.emit(`*(u64 *)(r10 - ${slot}) = ${this.imm()}`)
      else this.emit(`*(u64 *)(r10 - ${slot}) = r${this.number()}`)
      this.stack.add(slot)
      return
    }
    const size = r.pick([1, 2, 4, 8])
    const at = slot - size * r.below(8 / size)
    if (r.chance(25)) this.emit(`*(u${size * 8} *)(r10 - ${at}) = ${this.imm()}`)
    else this.emit(`*(u${size * 8} *)(r10 - ${at}) = r${this.number()}`)
  }

  stackLoad() {
    const { r } = this
    if (this.stack.size === 0) return this.stackStore()
    const slot = r.pick([...this.stack])
    const size = r.pick([1, 2, 4, 8, 8])
    const at = slot - size * r.below(8 / size)
    const to = this.free()
    const sign = size < 8 && r.chance(25) ? 's' : 'u'
    if (sign === 'u' && r.chance(6)) this.emit(`r${to} = load_acquire((u${size * 8} *)(r10 - ${at}))`)
    else this.emit(`r${to} = *(${sign}${size * 8} *)(r10 - ${at})`)
    this.live.add(to)
  }

  /** Read-modify-write, load-acquire or store-release at base + off. */
  atomic(base, off, sizes = [4, 8]) {
    const { r } = this
    const size = r.pick(sizes)
    const letter = size === 8 ? 'r' : 'w'
    const s = this.number()
    if (s === base) return
    const place = `r${base} ${off < 0 ? '-' : '+'} ${Math.abs(off)}`
    const kind = r.below(6)
    if (kind === 0) this.emit(`lock *(u${size * 8} *)(${place}) ${r.pick(['+=', '|=', '&=', '^='])} ${letter}${s}`)
    else if (kind === 1)
      this.emit(
        `r${s} = atomic${size === 8 ? '64' : ''}_fetch_${r.pick(['add', 'or', 'and', 'xor'])}((u${size * 8} *)(${place}), r${s})`,
      )
    else if (kind === 2) this.emit(`r${s} = atomic${size === 8 ? '64' : ''}_xchg((u${size * 8} *)(${place}), r${s})`)
    else if (kind === 3 && base !== 0 && this.registers.includes(0)) {
      if (!this.live.has(0)) this.set(0)
      this.emit(`r0 = atomic${size === 8 ? '64' : ''}_cmpxchg((u${size * 8} *)(${place}), r0, r${s})`)
    } else if (kind === 4) this.emit(`store_release((u${size * 8} *)(${place}), r${s})`)
    else this.emit(`r${s} = load_acquire((u${size * 8} *)(${place}))`)
  }

  /** Neighbouring bytes at `base`, of which `size` may be read, one by one and combined, as compilers read packed fields. */
  packed(base, size) {
    const { r } = this
    const registers = this.registers.filter((n) => n !== base)
    if (registers.length < 3 || size < 2) return
    const count = 2 + r.below(Math.min(7, size - 1))
    const off = r.below(size - count + 1)
    const to = r.pick(registers)
    const part = r.pick(registers.filter((n) => n !== to))
    const letter = count <= 4 && r.chance(50) ? 'w' : 'r'
    for (let i = 0; i < count;) {
      const bytes = r.chance(80) || count - i < 2 ? 1 : 2
      const n = i === 0 ? to : part
      const at = r.chance(90) ? off + i : off
      this.emit(`r${n} = *(u${8 * bytes} *)(r${base} + ${Math.min(at, size - bytes)})`)
      if (i > 0) {
        this.emit(`${letter}${n} <<= ${8 * i}`, `${letter}${to} ${r.chance(90) ? '|=' : '+='} ${letter}${n}`)
        this.live.add(part)
      }
      i += bytes
    }
    this.live.add(to)
  }

  /** A slot that is written as a whole and then in parts, and read in others. */
  mixedSlot() {
    const { r } = this
    const slot = this.slot()
    this.emit(r.chance(50) ? `*(u64 *)(r10 - ${slot}) = r${this.number()}` : `*(u64 *)(r10 - ${slot}) = ${this.imm()}`)
    this.stack.add(slot)
    for (let i = 1 + r.below(3); i > 0; i--) {
      const size = r.pick([1, 2, 4])
      const at = slot - size * r.below(8 / size)
      this.emit(
        r.chance(70)
          ? `*(u${size * 8} *)(r10 - ${at}) = r${this.number()}`
          : `*(u${size * 8} *)(r10 - ${at}) = ${this.imm()}`,
      )
    }
    const to = this.free()
    const size = r.pick([1, 2, 4, 8])
    this.emit(
      `r${to} = *(${size < 8 && r.chance(40) ? 's' : 'u'}${size * 8} *)(r10 - ${slot - size * r.below(8 / size)})`,
    )
    this.live.add(to)
  }

  stackAtomic() {
    if (this.stack.size === 0) return this.stackStore()
    this.atomic(10, -this.r.pick([...this.stack]))
  }

  /** Some accesses of the memory of `size` bytes that register `base` points to. */
  accesses(base, size, canAtomic) {
    const { r } = this
    for (let i = 1 + r.below(3); i > 0; i--) {
      if (r.chance(15)) {
        this.packed(base, size)
        continue
      }
      const bytes = r.pick([1, 2, 4, 8].filter((b) => b <= size))
      const off = canAtomic && r.chance(70) ? bytes * r.below(size / bytes) : r.below(size - bytes + 1)
      const aligned = off % bytes === 0 ? off : canAtomic ? off - (off % bytes) : off
      switch (r.below(canAtomic ? 4 : 3)) {
        case 0: {
          const s = this.number()
          if (s !== base) this.emit(`*(u${bytes * 8} *)(r${base} + ${aligned}) = r${s}`)
          break
        }
        case 1:
          this.emit(`*(u${bytes * 8} *)(r${base} + ${aligned}) = ${this.imm()}`)
          break
        case 2: {
          const to = this.other(base)
          this.emit(`r${to} = *(${bytes < 8 && r.chance(25) ? 's' : 'u'}${bytes * 8} *)(r${base} + ${aligned})`)
          this.live.add(to)
          break
        }
        default:
          if (size >= 8) this.atomic(base, 8 * r.below(Math.floor(size / 8)))
      }
    }
  }

  /** Runs `body` with a pointer in a register that was free; it holds a number or nothing afterwards. */
  withPointer(base, body) {
    this.live.delete(base)
    const registers = this.registers
    this.registers = registers.filter((n) => n !== base)
    body()
    this.registers = registers
    this.live.delete(base)
  }

  mapValue() {
    const { r } = this
    const base = this.free()
    const size = 1 + r.below(32)
    if (r.chance(40)) {
      const at = 8 * r.below(8)
      this.emit(`r${base} = map[id:${DATA}][0]+${at}`)
      this.withPointer(base, () => this.accesses(base, 128 - at, true))
      return
    }
    // A variable offset.
    this.live.delete(base)
    const x = this.registers.filter((n) => n !== base && this.live.has(n))
    if (x.length === 0) return
    const index = r.pick(x)
    const mask = r.pick([7, 15, 31, 63])
    this.emit(`r${base} = map[id:${DATA}][0]+0`)
    this.emit(r.chance(50) ? `r${index} &= ${mask}` : `w${index} &= ${mask}`)
    this.emit(`r${base} += r${index}`)
    this.withPointer(base, () => this.accesses(base, Math.min(size, 128 - mask), false))
  }

  /** A key for map `id` at r10 - 64. */
  key(id) {
    const { r } = this
    const mask = id === ARRAY ? 7 : id === HASH ? 15 : id === PERCPU ? 3 : 31
    const letter = id === LRU ? 'r' : 'w'
    const size = id === LRU ? 64 : 32
    if (r.chance(50)) this.emit(`*(u${size} *)(r10 - 64) = ${r.below(mask + 1)}`)
    else {
      const n = this.number()
      this.emit(`${letter}${n} &= ${mask}`, `*(u${size} *)(r10 - 64) = r${n}`)
    }
  }

  lookup() {
    const { r } = this
    const id = r.pick([ARRAY, ARRAY, HASH, HASH, PERCPU, LRU])
    if (!this.split()) return this.alu()
    this.key(id)
    this.emit(`r1 = map[id:${id}]`, 'r2 = r10', 'r2 += -64', 'call bpf_map_lookup_elem')
    this.called()
    this.live.delete(0)
    const skip = this.label()
    this.emit(`if r0 == 0 goto ${skip}`)
    const before = new Set(this.live)
    const saved = this.saved.filter((n) => this.registers.includes(n))
    const base = r.chance(50) || saved.length === 0 ? 0 : r.pick(saved)
    if (base !== 0) {
      this.emit(`r${base} = r0`)
      before.delete(base)
    }
    const stack = new Set(this.stack)
    this.withPointer(base, () => {
      if (base !== 0) this.live.delete(0)
      this.accesses(base, MAPS[id].valueSize, true)
      if (r.chance(20) && MAPS[id].valueSize > 16) {
        const x = this.number()
        if (x !== base) {
          this.emit(`r${x} &= 7`, `r${base} += r${x}`)
          this.accesses(base, MAPS[id].valueSize - 7, false)
        }
      }
    })
    this.emit(`${skip}:`)
    this.join(before, stack)
  }

  /** Only what was known on both ways is known behind. */
  join(live, stack) {
    for (const n of this.live) if (!live.has(n)) this.live.delete(n)
    for (const n of this.stack) if (!stack.has(n)) this.stack.delete(n)
  }

  update() {
    const { r } = this
    const id = r.pick([HASH, HASH, ARRAY, LRU, PERCPU])
    this.key(id)
    if (r.chance(30)) {
      this.emit(`r1 = map[id:${id === PERCPU ? HASH : id}]`, 'r2 = r10', 'r2 += -64', 'call bpf_map_delete_elem')
    } else {
      const words = MAPS[id].valueSize / 8
      for (let i = 0; i < words; i++) this.emit(`*(u64 *)(r10 - ${128 - 8 * i}) = r${this.number()}`)
      this.emit(`r1 = map[id:${id}]`, 'r2 = r10', 'r2 += -64', 'r3 = r10', 'r3 += -128')
      this.emit(`r4 = ${r.pick([0, 0, 0, 1, 2])}`, 'call bpf_map_update_elem')
    }
    this.called()
    this.live.add(0)
  }

  packet() {
    const { r } = this
    if (this.ctx === null || this.type === 'syscall') return this.context()
    const [dataField, endField] = PACKET_FIELDS[this.type]
    const pointers = this.registers.filter((n) => n !== this.ctx)
    if (pointers.length < 4 || !this.split()) return
    const base = r.pick(pointers)
    const end = r.pick(pointers.filter((n) => n !== base))
    const limit = r.pick(pointers.filter((n) => n !== base && n !== end))
    const numbers = this.registers.filter((n) => this.live.has(n) && ![base, end, limit].includes(n))
    const size = 1 + r.below(24)
    this.emit(`r${base} = *(u32 *)(r${this.ctx} + ${dataField})`, `r${end} = *(u32 *)(r${this.ctx} + ${endField})`)
    for (const n of [base, end, limit]) this.live.delete(n)
    if (numbers.length > 0 && r.chance(50)) {
      const n = r.pick(numbers)
      this.emit(`r${n} &= ${r.pick([3, 15, 31, 63])}`, `r${base} += r${n}`)
    } else this.emit(`r${base} += ${r.below(48)}`)
    const skip = this.label()
    const before = new Set(this.live)
    const stack = new Set(this.stack)
    this.emit(`r${limit} = r${base}`, `r${limit} += ${size}`)
    this.emit(r.chance(50) ? `if r${limit} > r${end} goto ${skip}` : `if r${end} < r${limit} goto ${skip}`)
    const registers = this.registers
    this.registers = registers.filter((n) => ![base, end, limit].includes(n))
    if (this.registers.length > 1) this.accesses(base, size, false)
    this.registers = registers
    for (const n of [base, end, limit]) this.live.delete(n)
    this.emit(`${skip}:`)
    this.join(before, stack)
  }

  /** Fields of the context. */
  context() {
    const { r } = this
    if (this.ctx === null || this.type === 'xdp') return this.alu()
    const to = this.other(this.ctx)
    if (this.type === 'tc') {
      const field = r.chance(30) ? 0 : 48 + 4 * r.below(5)
      if (field !== 0 && r.chance(40)) this.emit(`*(u32 *)(r${this.ctx} + ${field}) = r${this.number()}`)
      else {
        this.emit(`r${to} = *(u32 *)(r${this.ctx} + ${field})`)
        this.live.add(to)
      }
      return
    }
    const size = r.pick([1, 2, 4, 8])
    const at = size * r.below(CTX_SIZE / size)
    if (r.chance(40)) this.emit(`*(u${size * 8} *)(r${this.ctx} + ${at}) = r${this.number()}`)
    else {
      this.emit(`r${to} = *(u${size * 8} *)(r${this.ctx} + ${at})`)
      this.live.add(to)
    }
  }

  helper() {
    const { r } = this
    if (this.ctx === null || this.type === 'syscall' || r.chance(30)) return this.update()
    if (this.type === 'xdp') {
      const which = r.below(3)
      if (which === 0)
        this.emit(`r1 = r${this.ctx}`, `r2 = ${r.pick([-8, -14, 4, 14, 20])}`, 'call bpf_xdp_adjust_head')
      else if (which === 1)
        this.emit(`r1 = r${this.ctx}`, `r2 = ${r.pick([-1, -8, -20, 8, 40])}`, 'call bpf_xdp_adjust_tail')
      else return this.checksum()
    } else {
      const which = r.below(4)
      if (which === 0 && this.ctx === 6) {
        const size = r.pick([8, 16, 32])
        const numbers = this.registers.filter((n) => this.live.has(n))
        if (r.chance(50) || numbers.length === 0) this.emit(`r0 = *(u${size} *)skb[${r.below(64)}]`)
        else {
          const n = r.pick(numbers)
          this.emit(`w${n} &= 63`, `r0 = *(u${size} *)skb[r${n} + ${r.below(16)}]`)
        }
      } else if (which < 2) {
        this.emit(`r1 = r${this.ctx}`, `r2 = ${r.below(80)}`, 'r3 = r10', 'r3 += -128', `r4 = ${1 + r.below(16)}`)
        this.emit('call bpf_skb_load_bytes')
      } else if (which === 2) {
        for (const at of [128, 120]) this.emit(`*(u64 *)(r10 - ${at}) = r${this.number()}`)
        this.emit(`r1 = r${this.ctx}`, `r2 = ${r.below(60)}`, 'r3 = r10', 'r3 += -128', `r4 = ${1 + r.below(16)}`)
        this.emit(`r5 = ${r.pick([0, 1, 2])}`, 'call bpf_skb_store_bytes')
      } else return this.checksum()
    }
    this.called()
    this.live.add(0)
  }

  checksum() {
    const { r } = this
    for (const at of [128, 120, 112, 104]) this.emit(`*(u64 *)(r10 - ${at}) = r${this.number()}`)
    this.emit('r1 = r10', 'r1 += -128', `r2 = ${4 * (1 + r.below(4))}`, 'r3 = r10', 'r3 += -112')
    this.emit(`r4 = ${4 * (1 + r.below(4))}`, `w5 = ${r.u32() | 0}`, 'call bpf_csum_diff')
    this.called()
    this.live.add(0)
  }

  callFunction() {
    const { r } = this
    if (this.callees.length === 0) return this.alu()
    const callee = r.pick(this.callees)
    if (this.splits + this.rounds * callee.splits > 30) return this.alu()
    this.splits += this.rounds * callee.splits
    for (let n = 1; n <= callee.numbers; n++) if (!this.live.has(n)) this.set(n)
    if (callee.pointer) {
      for (const at of [144, 136]) this.emit(`*(u64 *)(r10 - ${at}) = r${this.number()}`)
      const n = callee.numbers + 1
      this.emit(`r${n} = r10`, `r${n} += -144`)
    }
    this.emit(`call ${callee.name}`)
    this.called()
    this.live.add(0)
    if (callee.pointer) {
      const to = this.other(0)
      this.emit(`r${to} = *(u64 *)(r10 - ${r.pick([144, 136])})`)
      this.live.add(to)
    }
  }

  condition(target) {
    const { r } = this
    const letter = r.chance(60) ? 'r' : 'w'
    const left = this.number()
    const right = r.chance(50) ? `${letter}${this.number()}` : this.imm()
    this.emit(`if ${letter}${left} ${r.pick(CONDITIONS)} ${right} goto ${target}`)
  }

  /** Keeps the ways through a program, all of which the verifier may walk, down to what it does in a moment. */
  split() {
    if (this.splits + this.rounds > 24) return false
    this.splits += this.rounds
    return true
  }

  branch() {
    const { r } = this
    if (!this.split()) return this.alu()
    const [no, end] = [this.label(), this.label()]
    this.condition(no)
    const [live, stack] = [new Set(this.live), new Set(this.stack)]
    this.block(1 + r.below(4))
    if (r.chance(50)) {
      const [thenLive, thenStack] = [new Set(this.live), new Set(this.stack)]
      const leaves = r.chance(8)
      if (leaves) {
        if (!this.live.has(0)) this.emit('r0 = 2')
        this.emit('exit')
      } else this.emit(r.chance(20) ? `gotol ${end}` : `goto ${end}`)
      this.emit(`${no}:`)
      this.live = live
      this.stack = stack
      this.block(1 + r.below(4))
      if (!leaves) this.join(thenLive, thenStack)
      this.emit(`${end}:`)
    } else {
      this.emit(`${no}:`)
      this.join(live, stack)
    }
  }

  /** A loop with its counter in a register that nothing else writes, or on the stack. */
  loop() {
    const { r } = this
    if (this.loops >= 2 || this.splits > 20) return this.alu()
    const [top, end] = [this.label(), this.label()]
    const times = 1 + r.below(this.loops > 0 ? 3 : 6)
    this.rounds *= times
    const counters = this.saved.filter((n) => this.registers.includes(n))
    const registers = this.registers
    this.loops++
    const body = () => {
      const [live, stack] = [new Set(this.live), new Set(this.stack)]
      this.block(1 + r.below(3))
      // What the first round needs must still be there in the next one.
      for (const n of live) if (!this.live.has(n)) this.set(n)
      this.live = live
      this.stack = stack
    }
    if (counters.length > 1 && r.chance(70)) {
      const n = r.pick(counters)
      this.live.delete(n)
      this.registers = registers.filter((other) => other !== n)
      const letter = r.chance(50) ? 'r' : 'w'
      this.emit(`r${n} = 0`, `${top}:`)
      if (r.chance(50)) {
        this.emit(`if ${letter}${n} ${r.pick(['s>=', '>='])} ${times} goto ${end}`)
        if (r.chance(20)) this.emit(`may_goto ${end}`)
        body()
        this.emit(`${letter}${n} += 1`, `goto ${top}`, `${end}:`)
      } else {
        body()
        this.emit(`${letter}${n} += 1`, `if ${letter}${n} ${r.pick(['<', '!=', 's<'])} ${times} goto ${top}`)
      }
      this.registers = registers
      this.live.add(n)
    } else {
      const at = 152 + 8 * this.loops
      const n = this.free()
      this.emit(`*(u64 *)(r10 - ${at}) = 0`, `${top}:`)
      body()
      this.emit(`r${n} = *(u64 *)(r10 - ${at})`, `r${n} += 1`, `*(u64 *)(r10 - ${at}) = r${n}`)
      this.emit(`if r${n} < ${times} goto ${top}`)
      this.live.add(n)
    }
    this.rounds /= times
    this.loops--
  }

  statement() {
    const { r } = this
    const roll = r.below(100)
    if (this.lines.length > this.limit) return
    if (roll < 36) return this.alu()
    if (roll < 42) return this.set(this.free())
    if (roll < 44) return this.mixedSlot()
    if (roll < 50) return this.stackStore()
    if (roll < 58) return this.stackLoad()
    if (roll < 61) return this.stackAtomic()
    if (roll < 66) return this.mapValue()
    if (roll < 70) return this.pointer ? this.accesses(this.pointerRegister, 16, true) : this.context()
    if (roll < 75) return this.packet()
    if (this.depth >= 4) return this.alu()
    if (roll < 86) return this.branch()
    if (roll < 91) return this.loop()
    if (roll < 94) return this.lookup()
    if (roll < 97) return this.helper()
    return this.callFunction()
  }

  block(count) {
    this.depth++
    for (let i = 0; i < count; i++) this.statement()
    this.depth--
  }

  /** Writes what all registers hold to the data map, and returns one of them. */
  finish(at) {
    const live = this.registers.filter((n) => this.live.has(n))
    if (at !== null && live.length > 1) {
      const base = this.r.pick(this.registers)
      this.emit(`r${base} = map[id:${DATA}][0]+${at}`)
      live.filter((n) => n !== base).forEach((n, i) => i < 8 && this.emit(`*(u64 *)(r${base} + ${8 * i}) = r${n}`))
      this.live.delete(base)
    }
    const n = this.number()
    if (n !== 0) this.emit(`r0 = r${n}`)
    this.emit('exit')
  }
}

/** Program number `seed`: its type and text. */
export function generateProgram(seed) {
  const r = generator(seed)
  const type = r.pick(['xdp', 'xdp', 'tc', 'syscall'])
  const functions = []
  const callees = []
  for (let i = r.below(3); i > 0; i--) {
    const callee = { name: `f${i}`, numbers: r.below(4), pointer: r.chance(30) }
    const pointerRegister = callee.pointer ? r.pick([6, 7, 8, 9]) : -1
    const registers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter((n) => n !== pointerRegister)
    const writer = new FunctionWriter(r, {
      name: callee.name,
      type,
      ctx: null,
      registers,
      saved: [6, 7, 8, 9].filter((n) => n !== pointerRegister),
      live: Array.from({ length: callee.numbers }, (_, n) => n + 1),
      callees: callees.slice(),
      pointer: callee.pointer,
      pointerRegister,
      limit: MAX_LINES / 4,
    })
    if (callee.pointer) writer.emit(`r${pointerRegister} = r${callee.numbers + 1}`)
    writer.block(2 + r.below(6))
    writer.finish(null)
    functions.push({ name: callee.name, lines: writer.lines })
    callee.splits = writer.splits + 1
    callees.push(callee)
  }
  const ctx = r.pick([6, 6, 7, 8, 9])
  const main = new FunctionWriter(r, {
    name: 'main',
    type,
    ctx,
    registers: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter((n) => n !== ctx),
    saved: [6, 7, 8, 9].filter((n) => n !== ctx),
    live: [],
    callees,
    pointer: false,
    pointerRegister: -1,
    limit: MAX_LINES,
  })
  main.emit(`r${ctx} = r1`)
  main.block(4 + r.below(16))
  main.finish(64)
  // The verifier takes no function that nothing calls; a function only calls those made before it.
  const lines = main.lines
  for (const { name, lines: body } of functions.reverse()) {
    if (lines.includes(`call ${name}`)) lines.push(`${name}:`, ...body)
  }
  return { type, text: lines.join('\n') }
}

/** Input number `index` of program `seed`. */
export function generateInput(seed, index, type) {
  const r = generator(Math.imul(seed, 31) + index * 7919 + 1)
  if (type === 'syscall') {
    const ctx = r.bytes(CTX_SIZE)
    const view = new DataView(ctx.buffer)
    for (let at = 0; at < CTX_SIZE; at += 8) if (r.chance(50)) view.setBigUint64(at, r.pick(EDGES), true)
    return { ctx }
  }
  const data = r.bytes(r.chance(80) ? 64 + r.below(64) : 14 + r.below(50))
  // A type of payload without meaning to the kernel, so that headers are not looked at.
  data.set([0x88, 0xb5], 12)
  return { data }
}
