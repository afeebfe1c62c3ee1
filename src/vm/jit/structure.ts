import type { Block, Cfg, Operation } from '../../isa/index.ts'
import { NOWHERE } from '../indirect.ts'
import { emitCondition } from './branch.ts'
import type { FunctionContext } from './context.ts'
import type { Edge, Flow } from './flow.ts'
import { emitJumpNumber } from './indirect-code.ts'

/** What the walk calls back for. */
export interface BlockEmitter {
  /** Instructions `start` to `end` (exclusive) of a block, but for a branch or jump at its end. */
  emitBody(start: number, end: number): void
  /** Called inside each loop, where an iteration begins; `at` is a slot of its header. */
  emitLoopHeader(at: number): void
  /** Leaves the function, for a block of another part. */
  emitHandOver(block: number): void
}

const Task = { TREE: 0, EDGE: 1, CLOSE: 2, ELSE: 3 } as const
type Task = (typeof Task)[keyof typeof Task]

/**
 * Writes a function's blocks as structured control flow, by the dominator tree (Ramsey, "Beyond Relooper", ICFP 2022):
 * a block's code is followed by what only it leads to; blocks where paths join are put behind a wasm block that the
 * joining paths leave, loop headers in a wasm loop. The tree is walked with an explicit stack: it may be as deep as the
 * function is long.
 */
export class StructuredWalk {
  readonly #ctx: FunctionContext
  readonly #cfg: Cfg
  readonly #flow: Flow
  readonly #emitter: BlockEmitter
  readonly #isLoop: Uint8Array
  readonly #isMerge: Uint8Array
  /** First child in the dominator tree where paths join, latest in reverse postorder first, and its next sibling. */
  readonly #firstMerge: Int32Array
  readonly #nextMerge: Int32Array
  /** Level at which a node's block or loop was opened. */
  readonly #blockLevel: Int32Array
  readonly #loopLevel: Int32Array
  /** For each open level, the number of blocks (not loops and ifs) up to it. */
  readonly #levels: number[] = []
  /** Kind and two arguments each, the next one last. */
  readonly #tasks: number[] = []

  constructor(ctx: FunctionContext, cfg: Cfg, flow: Flow, emitter: BlockEmitter) {
    this.#ctx = ctx
    this.#cfg = cfg
    this.#flow = flow
    this.#emitter = emitter
    this.#isLoop = new Uint8Array(flow.size)
    this.#isMerge = new Uint8Array(flow.size)
    this.#firstMerge = new Int32Array(flow.size).fill(-1)
    this.#nextMerge = new Int32Array(flow.size).fill(-1)
    this.#blockLevel = new Int32Array(flow.size)
    this.#loopLevel = new Int32Array(flow.size)
    this.#classify()
  }

  /** Writes everything; the end of what is written is unreachable. */
  run(): void {
    this.#setLabel(this.#flow.root)
    this.#push(Task.TREE, this.#flow.root.node)
    while (this.#tasks.length > 0) {
      const second = this.#tasks.pop() as number
      const first = this.#tasks.pop() as number
      switch (this.#tasks.pop() as Task) {
        case Task.TREE:
          this.#tree(first)
          break
        case Task.EDGE:
          this.#go(first, this.#edgeTo(second))
          break
        case Task.CLOSE:
          this.#ctx.code.end()
          this.#levels.pop()
          this.#ctx.control.depth--
          break
        case Task.ELSE:
          this.#ctx.code.else()
      }
    }
  }

  /** Finds loops and joins. */
  #classify(): void {
    const { order, reversePostorder, idom } = this.#flow
    const joined = new Uint8Array(this.#flow.size)
    const edge = (from: number, to: number): void => {
      if ((order[to] as number) <= (order[from] as number)) this.#isLoop[to] = 1
      else if (joined[to] === 1) this.#isMerge[to] = 1
      else joined[to] = 1
    }
    for (const node of reversePostorder) {
      const block = this.#flow.blockOf(node)
      // Two edges of a branch to one dispatch count twice: each sets a label of its own.
      if (block !== -1) {
        const { succs, end } = this.#cfg.blocks[block] as Block
        const isIndirect = this.#ctx.program.operations[end - 1]?.kind === 'gotox'
        for (const s of succs) {
          const { node: to } = this.#flow.edgeTo(s)
          edge(node, to)
          // As below.
          if (isIndirect && (order[to] as number) > (order[node] as number)) this.#isMerge[to] = 1
        }
      }
      // A br_table needs blocks to leave, even for entries that nothing else leads to.
      for (const to of this.#flow.targetsOf(node)) this.#isMerge[to] = 1
    }
    for (const node of reversePostorder) {
      if (this.#isMerge[node] === 0) continue
      const parent = idom[node] as number
      this.#nextMerge[node] = this.#firstMerge[parent] as number
      this.#firstMerge[parent] = node
    }
  }

  #push(kind: number, first: number = 0, second: number = 0): void {
    this.#tasks.push(kind, first, second)
  }

  /** Opens a level; returns its number. */
  #open(isBlock: boolean): number {
    const below = this.#levels.at(-1) ?? 0
    this.#ctx.control.depth++
    return this.#levels.push(isBlock ? below + 1 : below) - 1
  }

  #depth(level: number): number {
    return this.#levels.length - 1 - level
  }

  #tree(node: number): void {
    if (this.#isLoop[node] === 1) {
      this.#ctx.code.loop()
      this.#loopLevel[node] = this.#open(false)
      this.#push(Task.CLOSE)
      this.#emitter.emitLoopHeader(this.#slotOf(node))
    } else if (this.#isCutLoop(node)) {
      this.#emitter.emitLoopHeader(this.#slotOf(node))
    }
    this.#within(node, this.#firstMerge[node] as number)
  }

  /** A node's code inside of blocks for the joins it dominates, of which `merge` is the next. */
  #within(node: number, merge: number): void {
    let next = merge
    for (; next !== -1; next = this.#nextMerge[next] as number) {
      this.#ctx.code.block()
      this.#blockLevel[next] = this.#open(true)
      this.#push(Task.TREE, next)
      this.#push(Task.CLOSE)
    }
    const block = this.#flow.blockOf(node)
    const away = this.#flow.leavesTo(node)
    if (away !== -1) this.#emitter.emitHandOver(away)
    else if (block === -1) this.#dispatch(node)
    else this.#block(block, node)
  }

  /** Whether all that leads back to a loop's header is in other parts. */
  #isCutLoop(node: number): boolean {
    return this.#flow.isPart && this.#cfg.isLoopHeader[this.#flow.blockOf(node)] === 1
  }

  #slotOf(node: number): number {
    const block = this.#flow.blockOf(node)
    if (block !== -1) return (this.#cfg.blocks[block] as Block).start
    return this.#slotOf(this.#flow.targetsOf(node)[0] as number)
  }

  #dispatch(node: number): void {
    const { code, locals } = this.#ctx
    code.get(locals.label)
    code.brTable(this.#flow.targetsOf(node).map((to) => this.#depth(this.#blockLevel[to] as number)))
  }

  #block(index: number, node: number): void {
    const { start, end } = this.#cfg.blocks[index] as Block
    const op = this.#ctx.program.operations[end - 1]
    if (op?.kind === 'gotox') {
      this.#emitter.emitBody(start, end)
      return this.#indirect(node, op, end - 1)
    }
    const leave = op?.kind === 'jump' || op?.kind === 'branch' || op?.kind === 'mayGoto' ? op : null
    this.#emitter.emitBody(start, leave === null ? end : end - 1)
    if (op?.kind === 'exit') return
    if (leave === null) return this.#go(node, this.#edgeTo(end))
    if (leave.kind === 'jump') return this.#go(node, this.#edgeTo(leave.target))
    this.#branch(node, leave, leave.target, end)
  }

  /** An indirect jump: straight to its targets, by way of pieces of code that set labels where dispatches need them. */
  #indirect(node: number, op: Extract<Operation, { kind: 'gotox' }>, at: number): void {
    const { code, control } = this.#ctx
    const jump = this.#ctx.program.code.jumps?.get(at) ?? NOWHERE
    const labelled = jump.targets.map((slot) => this.#edgeTo(slot)).filter(({ label }) => label !== -1)
    for (const _ of labelled) {
      code.block()
      this.#open(true)
    }
    emitJumpNumber(this.#ctx, op, jump, at)
    let next = 0
    const depths = jump.slots.map((slot) => {
      if (slot === -1) return control.depth
      const edge = this.#edgeTo(slot)
      return edge.label === -1 ? this.#labelDepth(node, edge.node) : labelled.length - 1 - next++
    })
    code.brTable([...depths, control.depth])
    for (const edge of labelled.toReversed()) {
      code.end()
      this.#levels.pop()
      control.depth--
      this.#setLabel(edge)
      code.br(this.#labelDepth(node, edge.node))
    }
  }

  #edgeTo(slot: number): Edge {
    return this.#flow.edgeTo(this.#cfg.blockOf[slot - this.#cfg.start] as number)
  }

  #branch(node: number, op: Extract<Operation, { kind: 'branch' | 'mayGoto' }>, target: number, next: number): void {
    const taken = this.#edgeTo(target)
    const falls = this.#edgeTo(next)
    if (taken.node === falls.node && taken.label === falls.label) return this.#go(node, falls)
    const { code } = this.#ctx
    const takenDepth = this.#jumpDepth(node, taken)
    const fallsDepth = this.#jumpDepth(node, falls)
    if (takenDepth !== -1) {
      emitCondition(this.#ctx, op, false)
      code.brIf(takenDepth)
      return this.#go(node, falls)
    }
    if (fallsDepth !== -1) {
      emitCondition(this.#ctx, op, true)
      code.brIf(fallsDepth)
      return this.#go(node, taken)
    }
    emitCondition(this.#ctx, op, false)
    code.if()
    this.#open(false)
    this.#push(Task.CLOSE)
    this.#push(Task.EDGE, node, next)
    this.#push(Task.ELSE)
    this.#push(Task.EDGE, node, target)
  }

  #setLabel(edge: Edge): void {
    if (edge.label === -1) return
    this.#ctx.code.i32(edge.label)
    this.#ctx.code.set(this.#ctx.locals.label)
  }

  /** Depth of the wasm label that stands for the edge's target, -1 when the target's code goes in place. */
  #labelDepth(from: number, to: number): number {
    const { order } = this.#flow
    if ((order[to] as number) <= (order[from] as number)) return this.#depth(this.#loopLevel[to] as number)
    return this.#isMerge[to] === 1 ? this.#depth(this.#blockLevel[to] as number) : -1
  }

  /** As labelDepth(), but -1 also when the edge has a label to set. */
  #jumpDepth(from: number, edge: Edge): number {
    return edge.label === -1 ? this.#labelDepth(from, edge.node) : -1
  }

  /** Leaves a node, as the last thing that is written for it. */
  #go(from: number, edge: Edge): void {
    this.#setLabel(edge)
    const depth = this.#labelDepth(from, edge.node)
    if (depth === -1) return this.#push(Task.TREE, edge.node)
    const isForward = (this.#flow.order[edge.node] as number) > (this.#flow.order[from] as number)
    // All that is written here ends its level, so without a block in between control falls out to the target.
    if (isForward && this.#levels.at(-1) === this.#levels[this.#blockLevel[edge.node] as number]) return
    this.#ctx.code.br(depth)
  }
}
