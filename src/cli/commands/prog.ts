import type { Command } from 'commander'
import type { CliContext } from '../frame/context.ts'
import { escapeText } from '../frame/escape.ts'
import { ExitCode } from '../frame/exit.ts'
import { errorJson, errorText } from '../frame/report.ts'
import { Words } from '../frame/words.ts'
import { openSpec } from '../object/open-spec.ts'
import { loadAndPin, Pins, type LoadRequest } from '../system/load-object.ts'
import { progJson, progText } from '../system/prog-show.ts'
import { selectPrograms } from '../system/select.ts'
import { showObjects, type ShownKind } from '../system/show.ts'

const USAGE = `usage: elfbee prog show [PROG]
       elfbee prog load OBJ PATH [type SECTION] [pinmaps DIRECTORY]
       elfbee prog loadall OBJ DIRECTORY [type SECTION] [pinmaps DIRECTORY]
       PROG := id ID | tag TAG | name NAME | pinned FILE`

const SHOWN: ShownKind = { kind: 'prog', select: selectPrograms, json: progJson, text: progText }

export function describe(command: Command): void {
  command
    .description('Shows programs of the running kernel, or loads and pins them, as bpftool does.')
    .usage('show|load|loadall [...]')
    .argument('[words...]')
    .option('-v, --verbose', "with load: print the verifier's logs, also of programs that it accepts")
    .addHelpText(
      'after',
      `
${USAGE}

load pins the first program of the object at PATH, loadall every one in DIRECTORY, both in a bpf file system. When a
program does not load, nothing is pinned, and the exit code is 3.

Examples:
  sudo elfbee prog show
  sudo elfbee -p prog show name count_packets
  sudo elfbee prog load packet_counter.bpf.o /sys/fs/bpf/counter pinmaps /sys/fs/bpf/counter_maps`,
    )
}

export async function run(
  context: CliContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const words = new Words(args, USAGE)
  const command = words.isEmpty ? 'show' : words.keyword(['show', 'list', 'load', 'loadall'], 'command')
  if (command === 'show' || command === 'list') showObjects(context, words, SHOWN)
  else await loadObject(context, words, command === 'loadall', options['verbose'] === true)
}

async function loadObject(context: CliContext, words: Words, all: boolean, verbose: boolean): Promise<void> {
  const object = words.next('an object file')
  const request = loadRequest(words, words.next('a path'), all, verbose)
  const spec = openSpec(object)
  const pins = new Pins()
  const release = context.io.onInterrupt(() => pins.undo())
  try {
    const result = await loadAndPin(spec, request, pins)
    if (!result.ok) {
      context.exitCode = ExitCode.refused
      if (context.asJson) {
        const failed = result.failed.map(({ name, section, error }) => ({
          program: name,
          section,
          ...errorJson(error),
        }))
        context.printJson({ error: `${failed.length} programs did not load`, failed })
      } else for (const { error } of result.failed) context.io.stderr.write(errorText(error, context.style))
      return
    }
    if (context.asJson) context.printJson({ programs: result.programs, maps: result.maps })
    if (!verbose) return
    for (const { name, log } of result.reports) {
      if (log !== '') context.io.stderr.write(`${context.style.bold(escapeText(name))}\n${log.trimEnd()}\n`)
    }
  } finally {
    pins.undo()
    release()
  }
}

function loadRequest(words: Words, path: string, all: boolean, verbose: boolean): LoadRequest {
  let type: string | null = null
  let pinMaps: string | null = null
  while (!words.isEmpty) {
    if (words.takes('type')) type = words.next('a section name')
    else if (words.takes('pinmaps')) pinMaps = words.next('a directory')
    else throw words.error(`unexpected '${words.peek() ?? ''}'`)
  }
  return { path, all, type, pinMaps, logLevel: verbose ? 1 : 0 }
}
