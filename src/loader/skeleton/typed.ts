import type { LoadedObject } from '../load.ts'
import type { LoadedMap } from '../load/map.ts'
import type { LoadedProgram } from '../load/program.ts'
import type { LoadedVariable } from '../load/variable.ts'
import type { ObjectLoadOptions, ObjectSpec } from '../object.ts'
import type { MapSpec, ProgramSpec, VariableSpec } from '../spec.ts'

/**
 * What may be given where a value of type T is read: integers as numbers or bigints, members that are left out are
 * zero, arrays of bytes also as an address ("10.0.0.1"), and everything also as bytes.
 */
export type InputOf<T> =
  | Uint8Array
  | (T extends number | bigint
      ? number | bigint
      : T extends string | boolean
        ? T
        : T extends readonly number[]
          ? readonly (number | bigint)[] | string
          : T extends readonly (infer Item)[]
            ? readonly InputOf<Item>[]
            : T extends Uint8Array
              ? number | bigint
              : { readonly [Member in keyof T]?: InputOf<T[Member]> | undefined })

/** A map whose keys and values have C types; see {@link LoadedMap}. */
export interface TypedMap<Key, Value> extends Pick<LoadedMap, 'name' | 'spec' | 'raw' | 'clear' | 'setSlot'> {
  get(key: InputOf<Key>): Value | undefined
  set(key: InputOf<Key>, value: InputOf<Value>, flags?: number): void
  delete(key: InputOf<Key>): boolean
  take(key: InputOf<Key>): Value | undefined
  keys(): Generator<Key, void>
  entries(): Generator<[key: Key, value: Value], void>
  [Symbol.iterator](): Generator<[key: Key, value: Value], void>
}

/** A map with a value for each CPU. */
export interface PerCpuMap<Key, Value> extends Omit<TypedMap<Key, Value[]>, 'set'> {
  /** Takes a value for each CPU, or one for all of them. */
  set(key: InputOf<Key>, value: InputOf<Value> | readonly InputOf<Value>[], flags?: number): void
}

/** A queue, stack or bloom filter: values without keys. */
export interface QueueMap<Value> extends Pick<LoadedMap, 'name' | 'spec' | 'raw'> {
  get(): Value | undefined
  take(): Value | undefined
  set(key: undefined, value: InputOf<Value>, flags?: number): void
}

/** Id of a type in an object's BTF, with the type that its values have. */
export type TypeId<T> = number & { readonly type?: T }

/** A ring buffer or perf event array. */
export interface EventMap<Event> extends Pick<LoadedMap, 'name' | 'spec' | 'raw'> {
  drain(): Event[]
  /** Events of another type than the map declares. */
  drain<Other>(options: { readonly typeId: TypeId<Other> }): Other[]
}

/** A global variable of a loaded object. */
export interface TypedVariable<T> extends Pick<LoadedVariable, 'name' | 'spec'> {
  get(): T
  set(value: InputOf<T>): void
}

/** A constant of a loaded object; before load() it can be set in the spec. */
export type TypedConstant<T> = Omit<TypedVariable<T>, 'set'>

/** A global variable before load(). */
export interface TypedVariableSpec<T> extends Omit<VariableSpec, 'get' | 'set'> {
  get(): T
  set(value: InputOf<T>): void
}

/** A loaded object whose maps, programs and variables are known by name and type. */
export type TypedObject<Maps, Programs, Variables> = Omit<LoadedObject, 'maps' | 'programs' | 'variables'> & {
  readonly maps: Maps
  readonly programs: Programs
  readonly variables: Variables
}

/** An object whose maps, programs and variables are known by name and type. */
export type TypedSpec<Maps, Programs, Variables> = Omit<ObjectSpec, 'maps' | 'programs' | 'variables' | 'load'> & {
  readonly maps: { readonly [Name in keyof Maps]: MapSpec }
  readonly programs: { readonly [Name in keyof Programs]: ProgramSpec }
  readonly variables: {
    readonly [Name in keyof Variables]: Variables[Name] extends { get(): infer T } ? TypedVariableSpec<T> : VariableSpec
  }
  /**
   * Loads it. Unless `strict` is false, what cannot be loaded is an error: the types of programs and maps say that they
   * are there.
   */
  load(options?: ObjectLoadOptions): Promise<TypedObject<Maps, Programs, Variables>>
}

/** A program that load() leaves out unless its spec says otherwise. */
export type OptionalProgram = LoadedProgram | undefined
