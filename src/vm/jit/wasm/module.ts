import { ByteSink } from './bytes.ts'
import { CodeSink } from './code.ts'
import { Op } from './opcodes.ts'
import { FUNCREF, ValueType, type FunctionType } from './types.ts'

const HEADER = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]

/** Section ids (WebAssembly core specification 2.0, 5.5.2). */
const Section = {
  CUSTOM: 0,
  TYPE: 1,
  IMPORT: 2,
  FUNCTION: 3,
  TABLE: 4,
  GLOBAL: 6,
  EXPORT: 7,
  ELEMENT: 9,
  CODE: 10,
} as const

/** Kinds of imports and exports. */
const ExternKind = { FUNCTION: 0, TABLE: 1, MEMORY: 2, GLOBAL: 3 } as const

/** Limits of an imported memory, in pages of 64 KiB. */
export interface MemoryLimits {
  /** In pages. */
  readonly minimum: number
  /** Of a shared memory: what the memory itself has, or more. Absent for one that is not shared. */
  readonly sharedMaximum?: number
}

/** A section's entries with their count. */
class Entries {
  readonly sink: ByteSink = new ByteSink()
  count = 0
}

/**
 * A module with at most one memory (imported) and one table (of functions). Functions are numbered with the imports
 * first, so imports come before the first function.
 */
export class ModuleBuilder {
  readonly #types = new Map<string, number>()
  readonly #typeEntries = new Entries()
  readonly #imports = new Entries()
  readonly #functions = new Entries()
  readonly #globals = new Entries()
  readonly #exports = new Entries()
  readonly #bodies: (CodeSink | null)[] = []
  readonly #names: { index: number; name: string }[] = []
  #importedFunctions = 0
  #table: readonly number[] = []
  #importedTables: number = 0

  /** Index of a function type; equal types share one. */
  type(type: FunctionType): number {
    const key = `${type.params.join()}:${type.results.join()}`
    const known = this.#types.get(key)
    if (known !== undefined) return known
    const { sink } = this.#typeEntries
    sink.byte(0x60)
    for (const list of [type.params, type.results]) {
      sink.unsigned(list.length)
      for (const value of list) sink.byte(value)
    }
    const index = this.#typeEntries.count++
    this.#types.set(key, index)
    return index
  }

  /** Declares an imported function and returns its index. */
  importFunction(module: string, name: string, type: FunctionType): number {
    if (this.#bodies.length > 0) throw new Error('imports come before functions')
    this.#import(module, name, ExternKind.FUNCTION)
    this.#imports.sink.unsigned(this.type(type))
    this.#names.push({ index: this.#importedFunctions, name })
    return this.#importedFunctions++
  }

  importMemory(module: string, name: string, limits: MemoryLimits): void {
    this.#import(module, name, ExternKind.MEMORY)
    this.#imports.sink.byte(limits.sharedMaximum === undefined ? 0 : 3)
    this.#imports.sink.unsigned(limits.minimum)
    if (limits.sharedMaximum !== undefined) this.#imports.sink.unsigned(limits.sharedMaximum)
  }

  /** Imports a table of functions, before setTable(); returns its index. */
  importTable(module: string, name: string): number {
    this.#import(module, name, ExternKind.TABLE)
    const { sink } = this.#imports
    sink.byte(FUNCREF)
    sink.byte(0)
    sink.unsigned(0)
    return this.#importedTables++
  }

  /** Declares a function, whose body defineFunction() brings, and returns its index. */
  declareFunction(type: FunctionType, name: string): number {
    this.#functions.sink.unsigned(this.type(type))
    this.#functions.count++
    const index = this.#importedFunctions + this.#bodies.push(null) - 1
    this.#names.push({ index, name })
    return index
  }

  defineFunction(index: number, body: CodeSink): void {
    this.#bodies[index - this.#importedFunctions] = body
  }

  /** A mutable global that starts as 0; returns its index. */
  addGlobal(type: typeof ValueType.I32 | typeof ValueType.I64): number {
    const { sink } = this.#globals
    sink.byte(type)
    sink.byte(1)
    sink.byte(type === ValueType.I32 ? Op.i32_const : Op.i64_const)
    sink.byte(0)
    sink.byte(Op.end)
    return this.#globals.count++
  }

  exportFunction(name: string, index: number): void {
    this.#exports.sink.name(name)
    this.#exports.sink.byte(ExternKind.FUNCTION)
    this.#exports.sink.unsigned(index)
    this.#exports.count++
  }

  /** The module's own table with these functions; returns its index. */
  setTable(functions: readonly number[]): number {
    this.#table = functions
    return this.#importedTables
  }

  /** The binary; nothing can be added then. */
  encode(): Uint8Array<ArrayBuffer> {
    const out = new ByteSink()
    for (const byte of HEADER) out.byte(byte)
    writeEntries(out, Section.TYPE, this.#typeEntries)
    writeEntries(out, Section.IMPORT, this.#imports)
    writeEntries(out, Section.FUNCTION, this.#functions)
    if (this.#table.length > 0) writeEntries(out, Section.TABLE, tableSection(this.#table.length))
    writeEntries(out, Section.GLOBAL, this.#globals)
    writeEntries(out, Section.EXPORT, this.#exports)
    if (this.#table.length > 0) writeEntries(out, Section.ELEMENT, elementSection(this.#importedTables, this.#table))
    writeEntries(out, Section.CODE, this.#code())
    writeCustom(out, 'name', this.#nameSection())
    return out.take()
  }

  #import(module: string, name: string, kind: number): void {
    this.#imports.sink.name(module)
    this.#imports.sink.name(name)
    this.#imports.sink.byte(kind)
    this.#imports.count++
  }

  #code(): Entries {
    const code = new Entries()
    for (const body of this.#bodies) {
      if (body === null) throw new Error('a declared function has no body')
      body.encode(code.sink)
      code.count++
    }
    return code
  }

  /** Function names, which engines show in stack traces (appendix "Name Section"). */
  #nameSection(): ByteSink {
    const names = new ByteSink()
    names.unsigned(this.#names.length)
    for (const { index, name } of this.#names) {
      names.unsigned(index)
      names.name(name)
    }
    const section = new ByteSink()
    section.byte(1)
    section.sized(names)
    return section
  }
}

function tableSection(size: number): Entries {
  const table = new Entries()
  table.sink.byte(FUNCREF)
  table.sink.byte(1)
  table.sink.unsigned(size)
  table.sink.unsigned(size)
  table.count = 1
  return table
}

function elementSection(table: number, functions: readonly number[]): Entries {
  const elements = new Entries()
  // Active; tables other than the first are named.
  elements.sink.unsigned(table === 0 ? 0 : 2)
  if (table !== 0) elements.sink.unsigned(table)
  elements.sink.byte(Op.i32_const)
  elements.sink.signed32(0)
  elements.sink.byte(Op.end)
  if (table !== 0) elements.sink.byte(0)
  elements.sink.unsigned(functions.length)
  for (const index of functions) elements.sink.unsigned(index)
  elements.count = 1
  return elements
}

function writeEntries(out: ByteSink, id: number, entries: Entries): void {
  if (entries.count === 0) return
  const count = new ByteSink()
  count.unsigned(entries.count)
  out.byte(id)
  out.unsigned(count.length + entries.sink.length)
  out.append(count)
  out.append(entries.sink)
}

function writeCustom(out: ByteSink, name: string, contents: ByteSink): void {
  const body = new ByteSink()
  body.name(name)
  body.append(contents)
  out.byte(Section.CUSTOM)
  out.sized(body)
}
