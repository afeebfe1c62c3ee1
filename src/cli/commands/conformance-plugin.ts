import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { BpfError, decodeUtf8, fromHex } from '../../bytes/index.ts'
import { openObject, prepare } from '../../loader/index.ts'
import type { InsnBuffer } from '../../isa/index.ts'
import { insnsFromBytes, runProgram } from '../../testing/index.ts'
import type { CliContext } from '../frame/context.ts'

export function describe(command: Command): void {
  command
    .description(
      'Plugin for the runner of the bpf_conformance suite: takes a program in hexadecimal from standard input and memory ' +
        'from the first argument, runs it in the vm and prints r0 in hexadecimal.',
    )
    .argument('[memory]', 'bytes in hexadecimal; r1 points to them, r2 is their number')
    .argument('[options...]', 'what the runner passes on')
    .option('--elf', 'the program is an ELF object, whose first program is run')
    .option('--interpreter', 'run in the interpreter, not in the JIT')
    .allowUnknownOption()
    .addHelpText(
      'after',
      `
The runner wants one executable, such as this script:
  #!/bin/sh
  exec elfbee conformance-plugin "$@"

Example:
  echo "b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00" | elfbee conformance-plugin ""`,
    )
}

export function run(context: CliContext, args: readonly string[], options: Readonly<Record<string, unknown>>): void {
  // The runner passes all of its options as one word, or an empty one.
  const words = args.flatMap((word) => word.split(/\s+(?=--)/)).map((word) => word.trim())
  const flag = (name: string): boolean => options[name] === true || words.includes(`--${name}`)
  const memory = fromHex(words[0]?.startsWith('--') === true ? '' : (words[0] ?? ''))
  const program = fromHex(decodeUtf8(readFileSync(0)))
  const insns = flag('elf') ? objectInsns(program) : insnsFromBytes(program)
  if (insns.length === 0) throw new BpfError('malformed', 'standard input has no program')
  const engine = flag('interpreter') ? 'interpreter' : 'jit'
  const { result, error } = runProgram({ insns, memory, maps: [], mapReferences: new Map() }, engine)
  if (error !== null) throw new BpfError('trap', error)
  context.print(`${(result ?? 0n).toString(16)}\n`)
}

/** The first program of an object, which may use neither maps nor the kernel. */
function objectInsns(bytes: Uint8Array): InsnBuffer {
  const [first] = prepare(openObject(bytes, { name: 'standard input' }), { kernelBtf: null }).programs
  if (first === undefined) throw new BpfError('not-found', 'the object has no program')
  if (!first.ok) throw first.error
  const [reference] = first.program.lateReferences
  if (reference !== undefined) {
    throw new BpfError(
      'unsupported',
      `the program refers to a ${reference.kind}; the plugin runs programs without such references`,
    )
  }
  return first.program.insns
}
