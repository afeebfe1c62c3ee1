import type { Command } from 'commander'
import { BpfError } from '../../bytes/index.ts'
import type { CliContext } from '../frame/context.ts'
import { escapeText } from '../frame/escape.ts'
import { ExitCode } from '../frame/exit.ts'
import { errorJson, errorText } from '../frame/report.ts'
import { Words } from '../frame/words.ts'
import { coreTarget } from '../object/core.ts'
import { openSpec, programNamed } from '../object/open-spec.ts'
import { verifyPrograms, type ProgramVerdict } from '../object/verify.ts'
import { loadAndPin, Pins, type LoadRequest } from '../system/load-object.ts'
import { progJson, progText } from '../system/prog-show.ts'
import { selectPrograms } from '../system/select.ts'
import { showObjects, type ShownKind } from '../system/show.ts'

const USAGE = `usage: elfbee prog show [PROG]
       elfbee prog load OBJ PATH [type SECTION] [pinmaps DIRECTORY]
       elfbee prog loadall OBJ DIRECTORY [type SECTION] [pinmaps DIRECTORY]
       elfbee prog verify OBJ [--program NAME] [--log-level N] [--btf FILE] [--unpriv]
       PROG := id ID | tag TAG | name NAME | pinned FILE`

const SHOWN: ShownKind = { kind: 'prog', select: selectPrograms, json: progJson, text: progText }

export function describe(command: Command): void {
  command
    .description(
      'Shows programs of the running kernel, or loads and pins them, as bpftool does; or verifies them without a kernel.',
    )
    .usage('show|load|loadall|verify [...]')
    .argument('[words...]')
    .option('-v, --verbose', "with load: print the verifier's logs, also of programs that it accepts")
    .option('--program <name>', 'with verify: only this program')
    .option(
      '--log-level <n>',
      "with verify: the kernel's log, of the failing path (1) or all paths (2), plus 4: costs",
      '1',
    )
    .option('--btf <file>', 'with verify: types of the kernel whose verdict is wanted (default: the running one)')
    .option('--unpriv', 'with verify: loaded by anybody, where kernel.unprivileged_bpf_disabled is 0')
    .addHelpText(
      'after',
      `
${USAGE}

load pins the first program of the object at PATH, loadall every one in DIRECTORY, both in a bpf file system. When a
program does not load, nothing is pinned, and the exit code is 3.

verify asks elfbee's own verifier, which says what Linux 6.18 says, on any machine and without root. The exit code is 3
when a program is refused.

Examples:
  sudo elfbee prog show
  sudo elfbee -p prog show name count_packets
  sudo elfbee prog load packet_counter.bpf.o /sys/fs/bpf/counter pinmaps /sys/fs/bpf/counter_maps
  elfbee prog verify packet_counter.bpf.o --log-level 2

JSON of verify: [{ program, section, accepted, errno?, message?, insn?, insns, states, log }]`,
    )
}

export async function run(
  context: CliContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const words = new Words(args, USAGE)
  const command = words.isEmpty ? 'show' : words.keyword(['show', 'list', 'load', 'loadall', 'verify'], 'command')
  if (command === 'verify') await verifyObject(context, words, options)
  else if (command === 'show' || command === 'list') showObjects(context, words, SHOWN)
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

async function verifyObject(
  context: CliContext,
  words: Words,
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const spec = openSpec(words.next('an object file'))
  words.end()
  const level = Number(options['logLevel'])
  if (!Number.isInteger(level) || level < 0 || level > 7) {
    throw new BpfError('usage', `--log-level must be 0 to 7, not '${String(options['logLevel'])}'`)
  }
  const wanted = options['program']
  const names = typeof wanted === 'string' ? [programNamed(spec, wanted).name] : Object.keys(spec.programs)
  const target = await coreTarget(typeof options['btf'] === 'string' ? options['btf'] : undefined)
  const verdicts = verifyPrograms(spec, names, target, level, options['unpriv'] === true)
  if (verdicts.some((v) => v.result?.ok !== true)) context.exitCode = ExitCode.refused
  if (context.asJson) context.printJson(verdicts.map(verdictJson))
  else for (const verdict of verdicts) printVerdict(context, verdict)
}

function verdictJson({ name, section, result, error }: ProgramVerdict): object {
  if (result === undefined) return { program: name, section, accepted: false, ...errorJson(error) }
  const { ok, errno, message, insn, stats, log } = result
  const cost = { insns: stats.insnsProcessed, states: stats.totalStates }
  return { program: name, section, accepted: ok, errno, message, insn, ...cost, log }
}

/** The log as the kernel would have it, and a line that says how it ended. */
function printVerdict(context: CliContext, { name, section, result, error }: ProgramVerdict): void {
  const { style } = context
  if (result === undefined) {
    context.io.stderr.write(errorText(error, style))
    return
  }
  context.printExact(result.log)
  const title = `${style.bold(escapeText(name))} (${escapeText(section)}):`
  const cost = `${result.stats.insnsProcessed} instructions, ${result.stats.totalStates} states`
  if (result.ok) context.print(`${title} ${style.green('accepted')}, ${cost}\n`)
  else context.print(`${title} ${style.red('refused')}, ${result.errno}: ${escapeText(result.message ?? '')}\n`)
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
