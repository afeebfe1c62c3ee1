import type { Btf } from '../btf.ts'
import { BtfKind } from '../types.ts'
import type { CheckContext } from './context.ts'
import { checkMember } from './member.ts'

const NOT_VISITED = 0
const VISITED = 1
const RESOLVED = 2
/** Types on the way that the kernel follows (MAX_RESOLVE_DEPTH). */
const MAX_DEPTH = 32
const UINT32_MAX = 0xffff_ffff

/** What a walk is after: it ends at types that cannot lead back to where it started. */
type Mode = 'undecided' | 'pointer' | 'container'

interface Frame {
  readonly id: number
  /** Next member or variable to look at. */
  next: number
}

/**
 * Follows references the way the kernel's btf_resolve does: each walk starts at one type and goes down through those
 * that are not known yet, at most 32 deep; meeting a type of the same walk again is a loop. A walk through pointers ends
 * at structs and arrays, one through structs and arrays ends at pointers, since a struct may point to itself.
 */
export class TypeResolver {
  readonly #context: CheckContext
  readonly #btf: Btf
  readonly #first: number
  readonly #states: Uint8Array
  readonly #ids: Uint32Array
  readonly #sizes: Float64Array
  #stack: Frame[] = []
  #mode: Mode = 'undecided'

  constructor(context: CheckContext) {
    this.#context = context
    this.#btf = context.btf
    this.#first = context.btf.firstId
    const count = context.btf.typeCount - this.#first
    this.#states = new Uint8Array(count)
    this.#ids = new Uint32Array(count)
    this.#sizes = new Float64Array(count)
  }

  /** Resolves a type that refers to others. */
  resolve(root: number): void {
    if (!this.#needsResolve(root) || this.#isResolved(root)) return
    this.#mode = 'undecided'
    this.#stack = []
    this.#push(root, root)
    for (let frame = this.#stack.at(-1); frame !== undefined; frame = this.#stack.at(-1)) this.#step(frame, root)
  }

  /** Return type and parameters have sizes; names are identifiers. */
  checkPrototype(id: number): void {
    const context: CheckContext = this.#context
    const btf = this.#btf
    const result = btf.word(id, 2)
    const check = (type: number, what: string): void => {
      if (type === 0 || context.isOnlySource(type)) context.fail(id, `${what} cannot be type ${type}`)
      this.resolve(type)
      if (this.sized(type) === null) context.fail(id, `${what} has no size`)
    }
    if (result !== 0) check(result, 'the return type')
    let count = context.vlen(id)
    if (count > 0 && btf.word(id, 4 + (count - 1) * 2) === 0) {
      count--
      if (btf.word(id, 3 + count * 2) !== 0) context.fail(id, `parameter ${count} has a name but no type`)
    }
    for (let i = 0; i < count; i++) {
      const name = btf.word(id, 3 + i * 2)
      const type = btf.word(id, 4 + i * 2)
      if (type !== 0 && name !== 0 && !context.isIdentifier(name)) {
        context.fail(id, `parameter ${i} is called '${btf.string(name)}', expected an identifier`)
      }
      check(type, `parameter ${i}`)
    }
  }

  /** The type with a size that `id` stands for, and that size; null when there is none (yet). */
  sized(id: number): { readonly id: number; readonly size: number } | null {
    const context: CheckContext = this.#context
    if (context.hasNoSize(id)) return null
    const own = this.#ownSize(id)
    if (own >= 0) return { id, size: own }
    const target = this.#resolvedId(id)
    if (context.hasNoSize(target)) return null
    const size = this.#ownSize(target)
    return size < 0 ? null : { id: target, size }
  }

  /** Size of a type that has one of its own; -1 for modifiers and variables. */
  #ownSize(id: number): number {
    switch (this.#context.kind(id)) {
      case BtfKind.INT:
      case BtfKind.STRUCT:
      case BtfKind.UNION:
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
      case BtfKind.DATASEC:
      case BtfKind.FLOAT:
        return this.#btf.word(id, 2)
      case BtfKind.PTR:
        return 8
      case BtfKind.ARRAY:
        return id < this.#first ? this.#btf.sizeOf(id) : (this.#sizes[id - this.#first] as number)
      default:
        return -1
    }
  }

  #resolvedId(id: number): number {
    if (id >= this.#first) return this.#ids[id - this.#first] as number
    // The base has been checked: its chains end.
    const kind = this.#context.kind(id)
    const next = kind === BtfKind.VAR || kind === BtfKind.PTR ? this.#btf.word(id, 2) : id
    return this.#btf.skipModifiersAndTypedefs(next)
  }

  #needsResolve(id: number): boolean {
    switch (this.#context.kind(id)) {
      case BtfKind.PTR:
      case BtfKind.STRUCT:
      case BtfKind.UNION:
      case BtfKind.ARRAY:
      case BtfKind.VAR:
      case BtfKind.FUNC:
      case BtfKind.DECL_TAG:
      case BtfKind.DATASEC:
        return true
      default:
        return this.#context.isModifier(id)
    }
  }

  #isResolved(id: number): boolean {
    return id < this.#first || this.#states[id - this.#first] === RESOLVED
  }

  /** Whether the walk ends at this type. */
  #isSink(id: number): boolean {
    const context: CheckContext = this.#context
    const kind = context.kind(id)
    if (this.#mode === 'undecided') return !this.#needsResolve(id)
    if (this.#mode === 'pointer') return !context.isModifier(id) && kind !== BtfKind.PTR
    return !context.isModifier(id) && kind !== BtfKind.ARRAY && !context.isComposite(id)
  }

  /** Goes down to `id` first, when that is needed. */
  #descend(id: number, root: number): boolean {
    if (this.#isSink(id) || this.#isResolved(id)) return false
    this.#push(id, root)
    return true
  }

  #push(id: number, root: number): void {
    if (this.#stack.length === MAX_DEPTH) this.#context.fail(root, `refers through more than ${MAX_DEPTH} types`)
    if (id < this.#first || this.#states[id - this.#first] !== NOT_VISITED) {
      this.#context.fail(root, `is part of a loop through type ${id}`)
    }
    this.#states[id - this.#first] = VISITED
    this.#stack.push({ id, next: 0 })
    if (this.#mode !== 'undecided') return
    const kind = this.#context.kind(id)
    if (kind === BtfKind.PTR) this.#mode = 'pointer'
    else if (kind === BtfKind.ARRAY || this.#context.isComposite(id)) this.#mode = 'container'
  }

  #pop(target: number, size: number): void {
    const { id } = this.#stack.pop() as Frame
    this.#ids[id - this.#first] = target
    this.#sizes[id - this.#first] = size
    this.#states[id - this.#first] = RESOLVED
  }

  #step(frame: Frame, root: number): void {
    const { id } = frame
    const target = this.#btf.word(id, 2)
    switch (this.#context.kind(id)) {
      case BtfKind.PTR:
        this.#reference(id, target, root, true, false)
        break
      case BtfKind.VAR:
        this.#reference(id, target, root, true, true)
        break
      case BtfKind.ARRAY:
        this.#array(id, root)
        break
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        this.#composite(frame, root)
        break
      case BtfKind.FUNC:
        this.#function(id, target)
        break
      case BtfKind.DECL_TAG:
        this.#tag(id, target, root)
        break
      case BtfKind.DATASEC:
        this.#section(frame, root)
        break
      default:
        this.#reference(id, target, root, false, false)
        break
    }
  }

  #reference(id: number, target: number, root: number, goesOn: boolean, needsSize: boolean): void {
    const context: CheckContext = this.#context
    if (context.isOnlySource(target)) context.fail(id, `refers to type ${target}, which nothing may refer to`)
    if (this.#descend(target, root)) return
    if (goesOn && context.isModifier(target)) {
      // The modifier may have been resolved by a walk that ended at a pointer: go on from there.
      const resolved = this.#resolvedId(target)
      if (context.kind(resolved) === BtfKind.PTR && this.#descend(resolved, root)) return
    }
    const sized = this.sized(target)
    if (sized !== null) {
      this.#pop(sized.id, 0)
      return
    }
    if (needsSize) context.fail(id, `its type ${target} has no size`)
    const last = this.#isResolved(target) && !this.#isLeaf(target) ? this.#resolvedId(target) : target
    const kind = context.kind(last)
    if (kind !== BtfKind.VOID && kind !== BtfKind.FWD && kind !== BtfKind.FUNC_PROTO) {
      context.fail(id, `refers to type ${target}, which is nothing to refer to`)
    }
    this.#pop(last, 0)
  }

  #isLeaf(id: number): boolean {
    return !this.#needsResolve(id)
  }

  #array(id: number, root: number): void {
    const context: CheckContext = this.#context
    const btf = this.#btf
    const element = btf.word(id, 3)
    const index = btf.word(id, 4)
    const length = btf.word(id, 5)
    if (context.hasNoSize(index) || context.isOnlySource(index)) context.fail(id, `index type ${index} is no integer`)
    if (this.#descend(index, root)) return
    const indexType = this.sized(index)
    const isInt = indexType !== null && context.kind(indexType.id) === BtfKind.INT && context.isRegularInt(indexType.id)
    if (!isInt) context.fail(id, `index type ${index} is no regular integer`)
    if (context.hasNoSize(element) || context.isOnlySource(element))
      context.fail(id, `element type ${element} has no size`)
    if (this.#descend(element, root)) return
    const elementType = this.sized(element)
    if (elementType === null) context.fail(id, `element type ${element} has no size`)
    if (context.kind(elementType.id) === BtfKind.INT && !context.isRegularInt(elementType.id)) {
      context.fail(id, 'is an array of integers that do not fill their bytes')
    }
    if (elementType.size * length > UINT32_MAX) context.fail(id, `${length} elements of ${elementType.size} bytes`)
    this.#pop(elementType.id, elementType.size * length)
  }

  #composite(frame: Frame, root: number): void {
    const context: CheckContext = this.#context
    const { id } = frame
    const count = context.vlen(id)
    if (frame.next > 0) checkMember(context, this, id, frame.next - 1)
    for (let i = frame.next; i < count; i++) {
      const type = this.#btf.word(id, 4 + i * 3)
      if (context.hasNoSize(type) || context.isOnlySource(type)) {
        context.fail(id, `member ${i} has type ${type}, which has no size`)
      }
      if (!this.#isSink(type) && !this.#isResolved(type)) {
        frame.next = i + 1
        this.#push(type, root)
        return
      }
      checkMember(context, this, id, i)
    }
    this.#pop(0, 0)
  }

  #function(id: number, prototype: number): void {
    const context: CheckContext = this.#context
    for (let i = 0; i < context.vlen(prototype); i++) {
      const isNameless = this.#btf.word(prototype, 3 + i * 2) === 0
      if (isNameless && this.#btf.word(prototype, 4 + i * 2) !== 0) context.fail(id, `parameter ${i} has no name`)
    }
    this.#pop(prototype, 0)
  }

  #tag(id: number, target: number, root: number): void {
    const context: CheckContext = this.#context
    const kind = context.kind(target)
    const isTarget =
      kind === BtfKind.FUNC || kind === BtfKind.VAR || kind === BtfKind.TYPEDEF || context.isComposite(target)
    if (!isTarget) context.fail(id, `cannot be about type ${target}`)
    if (this.#descend(target, root)) return
    const component = this.#btf.word(id, 3) | 0
    if (component !== -1) {
      const hasParts = kind !== BtfKind.VAR && kind !== BtfKind.TYPEDEF
      const parts = kind === BtfKind.FUNC ? this.#btf.word(target, 2) : target
      if (!hasParts || component >= context.vlen(parts)) {
        context.fail(id, `component ${component} of type ${target} does not exist`)
      }
    }
    this.#pop(target, 0)
  }

  #section(frame: Frame, root: number): void {
    const context: CheckContext = this.#context
    const { id } = frame
    this.#mode = 'undecided'
    for (let i = frame.next; i < context.vlen(id); i++) {
      const variable = this.#btf.word(id, 3 + i * 3)
      if (context.kind(variable) !== BtfKind.VAR) context.fail(id, `entry ${i}, type ${variable}, is no variable`)
      if (!this.#isSink(variable) && !this.#isResolved(variable)) {
        frame.next = i + 1
        this.#push(variable, root)
        return
      }
      const sized = this.sized(this.#btf.word(variable, 2))
      if (sized === null) context.fail(id, `variable ${i} has no size`)
      const room = this.#btf.word(id, 5 + i * 3)
      if (room < sized.size) context.fail(id, `variable ${i} of ${sized.size} bytes has room for ${room}`)
    }
    this.#pop(0, 0)
  }
}
