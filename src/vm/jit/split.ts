import { depthFirst, type Block, type Cfg } from '../../isa/index.ts'

/** Where functions are cut, in instructions. */
export interface SplitLimits {
  /**
   * The largest function that stays whole. V8 optimises large functions late: the time for it grows with the square of
   * their blocks.
   */
  readonly whole: number
  readonly part: number
  /** The largest loop that stays whole, as cuts cost time in each of its rounds. */
  readonly loop: number
}

export const SPLIT_LIMITS: SplitLimits = { whole: 8000, part: 3000, loop: 16_000 }
/** Loops inside of more loops than that are not cut. */
const MAX_DEPTH = 16
/** Instructions of a block at a function's end that is copied to where jumps lead to it. */
const MAX_COPIED = 8

/** Some of a function's blocks, as one wasm function. */
export interface Part {
  readonly blocks: readonly number[]
  /** Those of them that other parts lead to, and the function's first block. */
  readonly entries: readonly number[]
}

export interface Split {
  /** The first one has the function's first block. */
  readonly parts: readonly Part[]
  /** By block, -1 for unreachable ones. */
  readonly partOf: Int32Array
}

/** A loop, or a block outside of the loops of its level: all of it goes to one part. */
interface Unit {
  /** -1 for a block. */
  readonly loop: number
  readonly blocks: number[]
  readonly succs: number[]
  size: number
}

/**
 * Cuts a function that is too large into parts; null when it stays whole. Loops stay whole when they are not too large
 * themselves. But for back edges of loops that are cut no edge leads to an earlier part, so that edges between parts
 * enter a loop at its header, or are inside of it: each part is reducible, whichever of its entries it is entered at.
 */
export function splitFunction(cfg: Cfg, limits: SplitLimits = SPLIT_LIMITS): Split | null {
  const length = cfg.end - cfg.start
  if (length <= limits.whole || !cfg.reducible) return null
  const target = Math.ceil(length / Math.ceil(length / limits.part))
  const lists: number[][] = []
  let room = 0
  for (const { blocks, size } of unitsOf(cfg, limits.loop)) {
    if (size > room && room < target) {
      lists.push([])
      room = target
    }
    for (const b of blocks) lists.at(-1)?.push(b)
    room -= size
  }
  return lists.length > 1 ? partsOf(cfg, lists) : null
}

/** Whether a block ends the function and is so short that each part has a copy of it that needs it. */
export function isCopied(cfg: Cfg, block: number): boolean {
  const { start, end, succs } = cfg.blocks[block] as Block
  return succs.length === 0 && end - start <= MAX_COPIED
}

function partsOf(cfg: Cfg, lists: readonly (readonly number[])[]): Split {
  const partOf = new Int32Array(cfg.blocks.length).fill(-1)
  lists.forEach((blocks, part) => {
    for (const b of blocks) partOf[b] = part
  })
  const isEntry = new Uint8Array(cfg.blocks.length)
  isEntry[0] = 1
  for (const b of cfg.reversePostorder) {
    for (const s of (cfg.blocks[b] as Block).succs) if (partOf[s] !== partOf[b] && !isCopied(cfg, s)) isEntry[s] = 1
  }
  return { parts: lists.map((blocks) => ({ blocks, entries: blocks.filter((b) => isEntry[b] === 1) })), partOf }
}

/** All of a function's units, in an order in which no edge but back edges leads to an earlier one. */
function unitsOf(cfg: Cfg, largestLoop: number): Unit[] {
  const { blocks, loopOf, outerLoop, isLoopHeader } = cfg
  const list: Unit[] = []
  const unitOf = new Int32Array(blocks.length)
  const levelOf = new Int32Array(blocks.length).fill(-1)
  /** For a header, the outermost loop around it inside of the level's loop. */
  const outermost = new Int32Array(blocks.length)
  let levels = 0
  /** Blocks of loop `loop` (-1: all), in reverse postorder. */
  const place = (members: readonly number[], loop: number, depth: number): void => {
    const level = levels++
    const units: Unit[] = []
    for (const b of members) {
      levelOf[b] = level
      const outer = outerLoop[b] as number
      if (isLoopHeader[b] === 1 && b !== loop) outermost[b] = outer === loop ? b : (outermost[outer] as number)
      const own = loopOf[b] === loop ? -1 : (outermost[loopOf[b] as number] as number)
      if (own === -1 || own === b) unitOf[b] = units.push({ loop: own, blocks: [], succs: [], size: 0 }) - 1
      else unitOf[b] = unitOf[own] as number
      const unit = units[unitOf[b]] as Unit
      const { start, end } = blocks[b] as Block
      unit.blocks.push(b)
      unit.size += end - start
    }
    for (const unit of units) {
      for (const b of unit.blocks) {
        for (const s of (blocks[b] as Block).succs) {
          if (s !== loop && levelOf[s] === level && units[unitOf[s] as number] !== unit) {
            unit.succs.push(unitOf[s] as number)
          }
        }
      }
    }
    const graph = { size: units.length, succs: (u: number) => units[u]?.succs ?? [], preds: () => [] }
    for (const u of depthFirst(graph).reversePostorder) {
      const unit = units[u] as Unit
      if (unit.loop !== -1 && unit.size > largestLoop && depth < MAX_DEPTH) place(unit.blocks, unit.loop, depth + 1)
      else list.push(unit)
    }
  }
  place(Array.from(cfg.reversePostorder), -1, 0)
  return list
}
