import { writeFileSync } from 'node:fs'
import { basename, dirname, relative } from 'node:path'
import type { Command } from 'commander'
import type { CliContext } from '../frame/context.ts'
import { readInput } from '../frame/input.ts'
import { Words } from '../frame/words.ts'

const USAGE = `usage: elfbee gen skeleton OBJECT [name NAME] [type C_TYPE]... [--embed] [-o FILE]
       elfbee gen object OUTPUT INPUT [INPUT...]
       elfbee gen min_core_btf INPUT OUTPUT OBJECT [OBJECT...]`

export function describe(command: Command): void {
  command
    .description('Makes files from objects: typed TypeScript modules, linked objects, minimal BTF for CO-RE.')
    .usage('skeleton OBJECT | object OUTPUT INPUT... | min_core_btf INPUT OUTPUT OBJECT...')
    .argument('[words...]')
    .option('--embed', 'skeleton: put the object into the module, instead of its path')
    .option('-o, --output <file>', 'skeleton: write there instead of to standard output')
    .option('--import <module>', 'skeleton: what to import elfbee as', 'elfbee')
    .addHelpText(
      'after',
      `
${USAGE}

skeleton      a TypeScript module that opens and loads the object, with its maps, programs and variables by name and C
              type. \`type\` also declares structs that no map names, such as those of events.
object        links objects into one, as bpftool does: without debug information, every type once.
min_core_btf  what is left of a kernel's BTF when only that is kept which the objects' CO-RE relocations ask about.

Examples:
  elfbee gen skeleton counter.bpf.o -o counter.skel.ts
  elfbee gen skeleton execsnoop.bpf.o name Exec type event --embed > exec.skel.ts
  elfbee gen object app.bpf.o main.bpf.o lib.bpf.o
  elfbee gen min_core_btf /sys/kernel/btf/vmlinux min.btf prog.bpf.o`,
    )
}

export async function run(
  context: CliContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const words = new Words(args, USAGE)
  const command = words.keyword(['object', 'skeleton', 'min_core_btf'], 'command')
  if (command === 'skeleton') await skeleton(context, words, options)
  else if (command === 'object') await object(words)
  else await minCore(words)
}

async function skeleton(context: CliContext, words: Words, options: Readonly<Record<string, unknown>>): Promise<void> {
  const path = words.next('an object')
  let name: string | undefined
  const types: string[] = []
  while (!words.isEmpty) {
    if (words.takes('name')) name = words.next('a name')
    else if (words.takes('type')) types.push(words.next('the name of a C type'))
    else throw words.error(`unexpected '${words.peek() ?? ''}'`)
  }
  const output = typeof options['output'] === 'string' ? options['output'] : undefined
  const { generateSkeleton, openObject } = await import('../../loader/index.ts')
  const bytes = readInput(path)
  const place = output === undefined ? basename(path) : relative(dirname(output), path)
  const text = generateSkeleton(openObject(bytes, { name: path }), {
    object: options['embed'] === true ? bytes : place.startsWith('.') ? place : `./${place}`,
    ...(name === undefined ? {} : { name }),
    ...(typeof options['import'] === 'string' ? { importFrom: options['import'] } : {}),
    types,
  })
  if (output === undefined) context.printExact(text)
  else writeFileSync(output, text)
}

async function object(words: Words): Promise<void> {
  const output = words.next('an output file')
  const inputs = files(words).map((path) => ({ name: path, bytes: readInput(path) }))
  const { linkObjects } = await import('../../loader/index.ts')
  writeFileSync(output, linkObjects(inputs))
}

async function minCore(words: Words): Promise<void> {
  const input = words.next('an input file')
  const output = words.next('an output file')
  const paths = files(words)
  const { minCoreBtf, readCoreObject } = await import('../../loader/index.ts')
  const { openBtf } = await import('../frame/btf-file.ts')
  const objects = paths.map((path) => readCoreObject(readInput(path), path))
  writeFileSync(output, minCoreBtf(objects, await openBtf(input)))
}

/** The words that are left, at least one. */
function files(words: Words): string[] {
  const paths = [words.next('an object')]
  while (!words.isEmpty) paths.push(words.next('an object'))
  return paths
}
