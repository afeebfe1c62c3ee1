import { BpfError } from '../../bytes/index.ts'
import { openObject, type FunctionSpec, type ObjectSpec, type ProgramSpec } from '../../loader/index.ts'
import { readInput } from '../frame/input.ts'
import { suggestion } from '../frame/suggest.ts'

/** Opens the object file named on the command line. */
export function openSpec(path: string): ObjectSpec {
  return openObject(readInput(path), { name: path })
}

/** The program of that name. @throws BpfError `not-found`, with names that are close */
export function programNamed(spec: ObjectSpec, name: string): ProgramSpec {
  const program = spec.programs[name]
  if (program !== undefined) return program
  throw new BpfError('not-found', `there is no program '${name}'${suggestion(name, Object.keys(spec.programs))}`, {
    where: { file: spec.file },
  })
}

/** A program's function and those it calls or takes the address of, by any way, each once: itself first. */
export function reachable(spec: ObjectSpec, functionIndex: number): FunctionSpec[] {
  const found = new Set([functionIndex])
  for (const index of found) {
    for (const reference of spec.functions[index]?.references ?? []) {
      if (reference.kind === 'call' || reference.kind === 'functionAddress') found.add(reference.functionIndex)
    }
  }
  return [...found].flatMap((index) => spec.functions[index] ?? [])
}
