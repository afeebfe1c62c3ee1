import type { Trace } from './log/trace.ts'
import type { State } from './state/state.ts'

/** One visit of a loop through one chain of calls, from the state that entered it until all its paths have ended. */
interface Visit {
  readonly chain: readonly number[]
  readonly scc: number
  entry: State | null
  /** States that were found equal to an earlier one of the loop, with that one; the last one found is the first. */
  backedges: Backedge[]
}

export interface Backedge {
  readonly state: State
  readonly equalTo: State
}

/**
 * Loops in which a path stopped at a state of the loop itself: what mattered after that state is known only when the
 * whole loop was walked, so the marks are passed on over these back-edges at its end. Loops are strongly connected
 * components of the control flow, told apart by the calls that lead to them.
 */
export class Loops {
  readonly #scc: Int32Array
  readonly #trace: Trace | null
  #visits: Visit[] = []
  /** Back-edges that wait. */
  count = 0

  constructor(scc: Int32Array, trace: Trace | null) {
    this.#scc = scc
    this.#trace = trace
  }

  /** Forgets all visits, before another function is walked. */
  clear(): void {
    this.#visits = []
  }

  #find(state: State): Visit | null | undefined {
    const { frames } = state
    const last = frames.length - 1
    for (let f = 0; f <= last; f++) {
      const at = f === last ? state.insn : (frames[f + 1]?.callsite as number)
      const scc = this.#scc[at] as number
      if (scc === 0) continue
      return this.#visits.find(
        (v) => v.scc === scc && v.chain.length === f && v.chain.every((site, i) => site === frames[i + 1]?.callsite),
      )
    }
    return null
  }

  /** A checkpoint was made; it may be the first of its loop. */
  enter(state: State): void {
    let visit = this.#find(state)
    if (visit === null) return
    if (visit === undefined) {
      visit = this.#make(state)
      this.#visits.push(visit)
    }
    if (visit.entry !== null) return
    visit.entry = state
    this.#say('enter', visit)
  }

  #make(state: State): Visit {
    const chain: number[] = []
    for (let f = 0; ; f++) {
      const inner = state.frames[f + 1]
      const scc = this.#scc[inner === undefined ? state.insn : inner.callsite] as number
      if (scc !== 0 || inner === undefined) return { chain, scc, entry: null, backedges: [] }
      chain.push(inner.callsite)
    }
  }

  /** All paths from a state have ended: the back-edges of the loop that it entered, null when it entered none. */
  exit(state: State): Visit | null {
    const visit = this.#find(state)
    if (visit === null || visit === undefined || visit.entry !== state) return null
    this.#say('exit', visit)
    visit.entry = null
    return visit
  }

  add(state: State, equalTo: State): void {
    const visit = this.#find(equalTo)
    if (visit === null || visit === undefined) return
    this.#say('backedge', visit)
    visit.backedges.unshift({ state, equalTo })
    this.count++
  }

  /** Whether marks of a finished checkpoint may still grow. */
  isIncomplete(state: State): boolean {
    const visit = this.#find(state)
    return visit !== null && visit !== undefined && visit.backedges.length > 0
  }

  #say(what: string, visit: Visit): void {
    if (this.#trace !== null && this.#trace.log.all) {
      // As in the kernel, a call at slot 0 ends the list.
      const zero = visit.chain.indexOf(0)
      const chain = zero < 0 ? visit.chain : visit.chain.slice(0, zero)
      this.#trace.log.write(`SCC ${what} (${[...chain, visit.scc].join(',')})\n`)
    }
  }
}
