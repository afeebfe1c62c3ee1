import { NOT_INIT, type Reg } from './register.ts'
import { EMPTY_SLOT, Slot } from './slot.ts'

/** Registers and stack of one call. */
export class Frame {
  readonly regs: Reg[]
  /** Slot i covers the bytes at fp-8*(i+1) to fp-8*i-1. */
  readonly stack: Slot[]
  readonly callsite: number
  readonly index: number
  readonly subprog: number
  inCallback = false
  inAsync = false
  inException = false
  asyncEntry = 0
  callbackDepth = 0
  /** Range that a callback must return, null where anything is allowed. */
  callbackRange: readonly [number, number] | null = null

  constructor(
    callsite: number,
    index: number,
    subprog: number,
    regs: Reg[] = Array.from<Reg>({ length: 11 }).fill(NOT_INIT),
    stack: Slot[] = [],
  ) {
    this.callsite = callsite
    this.index = index
    this.subprog = subprog
    this.regs = regs
    this.stack = stack
  }

  copy(): Frame {
    const to = new Frame(this.callsite, this.index, this.subprog, this.regs.slice(), this.stack.slice())
    to.inCallback = this.inCallback
    to.inAsync = this.inAsync
    to.inException = this.inException
    to.asyncEntry = this.asyncEntry
    to.callbackDepth = this.callbackDepth
    to.callbackRange = this.callbackRange
    return to
  }

  reg(i: number): Reg {
    return this.regs[i] as Reg
  }

  slot(i: number): Slot {
    return this.stack[i] ?? EMPTY_SLOT
  }

  /** Makes the stack at least `bytes` deep. */
  grow(bytes: number): void {
    const slots = (bytes + 7) >> 3
    while (this.stack.length < slots) this.stack.push(EMPTY_SLOT)
  }
}

/** Something acquired that must be released: a reference, a lock of one of three kinds, or saved interrupt flags. */
export interface Acquired {
  readonly kind: 'ptr' | 'lock' | 'resLock' | 'resLockIrq' | 'irq'
  /** Identity of the reference, of the object with the lock, or of the saved flags. */
  readonly id: number
  readonly insn: number
  /** What a lock belongs to: a map, or the BTF of allocated objects. */
  readonly owner?: object
}

/** How an instruction on the path was reached, where that is not by falling through, or what it did to the stack. */
export interface HistoryEntry {
  readonly insn: number
  readonly prev: number
  /** Stack slot that the instruction accessed through a pointer, or -1. */
  slot: number
  frame: number
  /** Operands of a branch that are pointers to the stack: 1 the source, 2 the destination. */
  stackPointers: number
  /** Registers and slots that shared a scalar id at a branch: [frame, register or -1, slot or -1]. */
  linked: readonly LinkedReg[] | null
}

export interface LinkedReg {
  readonly frame: number
  readonly reg: number
  readonly slot: number
}

/** One abstract state of the program: a path's frames and resources. */
export class State {
  frames: Frame[] = []
  refs: Acquired[] = []
  /** Number of locks of all kinds in `refs`; identity and owner of the last one taken. */
  locks = 0
  lockId = 0
  lockOwner: object | null = null
  /** Interrupt flags saved last, 0 for none. */
  irqId = 0
  rcu = 0
  preempt = 0
  sleepable = false
  /** Only a processor that runs ahead comes here. */
  speculative = false
  /** Checkpoint that this state continues. */
  parent: State | null = null
  /** Paths from here that are not finished. */
  branches = 1
  history: HistoryEntry[] = []
  firstInsn = 0
  lastInsn = 0
  /** Instruction of a checkpoint. */
  insn = 0
  depth = 0
  mayGotoDepth = 0
  unrollDepth = 0
  /** Checkpoint: registers and slots that nobody reads any more were forgotten. */
  cleaned = false
  /** Checkpoint: not compared any more, kept because paths from it are not finished. */
  evicted = false

  get frame(): Frame {
    return this.frames[this.frames.length - 1] as Frame
  }

  reg(i: number): Reg {
    return this.frame.regs[i] as Reg
  }

  set(i: number, reg: Reg): void {
    this.frame.regs[i] = reg
  }

  /** A copy that shares registers and slots. */
  copy(): State {
    const to = new State()
    to.frames = this.frames.map((frame) => frame.copy())
    to.refs = this.refs.slice()
    to.locks = this.locks
    to.lockId = this.lockId
    to.lockOwner = this.lockOwner
    to.irqId = this.irqId
    to.rcu = this.rcu
    to.preempt = this.preempt
    to.sleepable = this.sleepable
    to.speculative = this.speculative
    to.parent = this.parent
    to.branches = this.branches
    to.history = this.history.slice()
    to.firstInsn = this.firstInsn
    to.lastInsn = this.lastInsn
    to.insn = this.insn
    to.depth = this.depth
    to.mayGotoDepth = this.mayGotoDepth
    to.unrollDepth = this.unrollDepth
    return to
  }

  /** Replaces every register and spilled register for which `change` gives another one. */
  mapRegs(change: (reg: Reg) => Reg): void {
    for (const frame of this.frames) {
      for (let i = 0; i < 11; i++) {
        const reg = frame.regs[i] as Reg
        const to = change(reg)
        if (to !== reg) frame.regs[i] = to
      }
      for (let i = 0; i < frame.stack.length; i++) {
        const slot = frame.stack[i] as Slot
        if (slot.reg === null || !slot.spilled) continue
        const to = change(slot.reg)
        if (to !== slot.reg) frame.stack[i] = new Slot(slot.bytes, to)
      }
    }
  }
}
