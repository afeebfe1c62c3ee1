import type { Command } from 'commander'
import {
  hasFeature,
  KERNEL_FEATURES,
  kernelStatus,
  probeHelper,
  probeIsa,
  probeMapFlag,
  probeMapType,
  probeProgType,
  type IsaFeature,
} from '../../kernel/index.ts'
import { HELPERS, MAP_TYPES, MapFlag, PROG_TYPES, ProgType } from '../../uapi/index.ts'
import { BpfError } from '../../bytes/index.ts'
import type { CliContext } from '../frame/context.ts'

/** In what they differ: which kernels take a program. */
const ISA: Readonly<Record<IsaFeature, string>> = {
  v2: 'instruction set v2 (jumps on less than)',
  v3: 'instruction set v3 (32-bit jumps)',
  v4: 'instruction set v4 (sign extension, long jumps)',
  boundedLoops: 'loops with an end',
  largePrograms: 'more than 4,096 instructions',
}
/** Flags that a map is created with and that not all kernels know. */
const FLAGS = ['NO_PREALLOC', 'RDONLY_PROG', 'WRONLY_PROG', 'MMAPABLE', 'INNER_MAP'] as const
/** Which helpers these may call depends on what they attach to. */
const BY_TARGET: ReadonlySet<number> = new Set([ProgType.TRACING, ProgType.LSM, ProgType.EXT, ProgType.STRUCT_OPS])

export function describe(command: Command): void {
  command
    .argument('[probe]', 'what to do: probe')
    .argument('[kernel]', 'where: kernel')
    .option('--helpers', 'also which helpers programs of each type may call')
    .description(
      'Says what the running kernel can do with BPF: features that decide how objects are loaded and attached, types of ' +
        'programs and maps. Each is tried with something that is taken back at once. Needs the rights to load programs.',
    )
    .addHelpText(
      'after',
      `
Examples:
  sudo elfbee feature probe
  sudo elfbee feature probe --json --helpers`,
    )
}

interface Features {
  readonly features: Readonly<Record<string, boolean>>
  readonly instructions: Readonly<Record<string, boolean>>
  readonly programTypes: Readonly<Record<string, boolean>>
  readonly mapTypes: Readonly<Record<string, boolean>>
  readonly mapFlags: Readonly<Record<string, boolean>>
  readonly helpers?: Readonly<Record<string, readonly string[]>>
}

export function run(
  context: CliContext,
  [verb = 'probe', place = 'kernel']: readonly string[],
  options: Readonly<Record<string, unknown>>,
): void {
  if (verb !== 'probe' || place !== 'kernel') {
    throw new BpfError('usage', `"${verb} ${place}" is not known; there is: feature probe [kernel]`)
  }
  const status = kernelStatus()
  if (!status.ok) throw new BpfError('unsupported', `the kernel cannot be asked: ${status.reasons.join('; ')}`)
  const found = probe(options['helpers'] === true)
  if (context.asJson) {
    context.printJson(found)
    return
  }
  const { style } = context
  const mark = (has: boolean): string => (has ? style.green('yes') : style.red('no '))
  let text = 'features\n'
  for (const { name, what, since } of KERNEL_FEATURES) {
    text += `  ${mark(found.features[name] === true)}  ${what} ${style.dim(`(Linux ${since}; ${name})`)}\n`
  }
  text += 'instructions\n'
  for (const [name, what] of Object.entries(ISA)) text += `  ${mark(found.instructions[name] === true)}  ${what}\n`
  const list = (title: string, answers: Readonly<Record<string, boolean>>): void => {
    text += `${title}\n`
    for (const [name, has] of Object.entries(answers)) text += `  ${mark(has)}  ${name}\n`
  }
  list('program types', found.programTypes)
  list('map types', found.mapTypes)
  list('map flags', found.mapFlags)
  for (const [type, names] of Object.entries(found.helpers ?? {})) {
    text += `helpers of ${type}: ${names.length}\n`
    for (const name of names) text += `  bpf_${name}\n`
  }
  context.print(text)
}

function probe(withHelpers: boolean): Features {
  const programTypes = PROG_TYPES.filter(({ value }) => value !== ProgType.UNSPEC)
  const found = {
    features: answers(
      KERNEL_FEATURES,
      ({ name }) => name,
      ({ name }) => hasFeature(name),
    ),
    instructions: answers(Object.keys(ISA) as IsaFeature[], (name) => name, probeIsa),
    programTypes: answers(
      programTypes,
      ({ name }) => name,
      ({ value }) => probeProgType(value),
    ),
    mapTypes: answers(
      MAP_TYPES.slice(1),
      ({ name }) => name,
      ({ value }) => probeMapType(value),
    ),
    mapFlags: answers(
      FLAGS,
      (name) => name,
      (name) => probeMapFlag(MapFlag[name]),
    ),
  }
  if (!withHelpers) return found
  const helpers = Object.fromEntries(
    programTypes
      .filter(({ value, name }) => !BY_TARGET.has(value) && found.programTypes[name] === true)
      .map(({ value, name }) => [
        name,
        HELPERS.filter(({ id }) => probeHelper(value, id)).map((helper) => helper.name),
      ]),
  )
  return { ...found, helpers }
}

function answers<T>(
  list: readonly T[],
  nameOf: (item: T) => string,
  ask: (item: T) => boolean,
): Record<string, boolean> {
  return Object.fromEntries(list.map((item) => [nameOf(item), ask(item)]))
}
