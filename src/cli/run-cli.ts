import { Command, CommanderError } from 'commander'
import { isBpfError } from '../bytes/index.ts'
import { COMMANDS, type CommandEntry, type CommandModule } from './commands/table.ts'
import { CliContext, type GlobalOptions } from './frame/context.ts'
import { EXIT_CODES_HELP, ExitCode } from './frame/exit.ts'
import type { CliIo } from './frame/io.ts'
import { errorJson, errorText } from './frame/report.ts'
import { jsonText } from './frame/json.ts'
import { styleFor } from './frame/style.ts'
import { readVersion } from './frame/version.ts'

/** Global options that have a value, which is not the name of a command. */
const VALUED_OPTIONS = new Set(['-B', '--base-btf'])

/**
 * Runs one command line (without `node` and the script's name) and returns the exit code. Never throws: what goes
 * wrong is written to standard error, or with --json as `{ "error": ... }` to standard output, as bpftool does.
 */
export async function runCli(argv: readonly string[], io: CliIo): Promise<number> {
  const early: GlobalOptions = {
    json: argv.some((word) => word === '--json' || /^-[jp]+$/.test(word) || word === '--pretty'),
    pretty: argv.some((word) => word === '--pretty' || /^-j?pj?$/.test(word)),
  }
  let context: CliContext | undefined
  try {
    const at = commandIndex(argv)
    const entry = findCommand(argv[at] ?? '')
    const words = entry === undefined ? [...argv] : argv.with(at, entry.name)
    const module = entry === undefined ? undefined : await entry.load()
    const program = buildProgram(quietIf(io, early.json === true), entry, module, (created) => (context = created))
    await program.parseAsync(words, { from: 'user' })
    return context?.exitCode ?? ExitCode.ok
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return ExitCode.ok
      const message = error.message.replace(/^error: /, '')
      if (early.json === true) io.stdout.write(jsonText({ error: message, code: 'usage' }, early.pretty === true))
      return ExitCode.usage
    }
    return report(error, io, early)
  }
}

function report(error: unknown, io: CliIo, options: GlobalOptions): ExitCode {
  if (options.json === true) io.stdout.write(jsonText(errorJson(error), options.pretty === true))
  else {
    const coloured = io.stderr.isTTY && (io.env['NO_COLOR'] ?? '') === ''
    io.stderr.write(errorText(error, styleFor(coloured)))
  }
  if (io.env['ELFBEE_DEBUG'] === '1' && error instanceof Error) io.stderr.write(`${error.stack ?? ''}\n`)
  return isBpfError(error) && error.code === 'usage' ? ExitCode.usage : ExitCode.failure
}

interface ComplainingIo extends CliIo {
  /** Says what is wrong with the command line. */
  complain(text: string): void
}

/** The same surroundings; with JSON, complaints about the command line are not written as text, too. */
function quietIf(io: CliIo, isJson: boolean): ComplainingIo {
  return { ...io, complain: (text) => (isJson ? undefined : io.stderr.write(text)) }
}

/** Index of the word that names the command. */
function commandIndex(argv: readonly string[]): number {
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] as string
    if (VALUED_OPTIONS.has(word)) i++
    else if (word !== 'help' && !word.startsWith('-')) return i
  }
  return -1
}

/** The command that a word names or, as in bpftool, abbreviates. */
function findCommand(word: string): CommandEntry | undefined {
  if (word === '') return undefined
  return COMMANDS.find((entry) => entry.name === word) ?? COMMANDS.find((entry) => entry.name.startsWith(word))
}

function buildProgram(
  io: ComplainingIo,
  chosen: CommandEntry | undefined,
  module: CommandModule | undefined,
  onContext: (context: CliContext) => void,
): Command {
  const program = new Command('elfbee')
  configure(program, io)
  program
    .description('Opens BPF objects, runs them in the kernel or in a virtual machine, and prints what is in them.')
    .usage('[options] COMMAND [...]')
    .version(readVersion(), '-V, --version', 'print the version')
    .option('-j, --json', 'print JSON')
    .option('-p, --pretty', 'print indented JSON')
    .option('--no-color', 'no colours (also: NO_COLOR in the environment)')
    .option('-B, --base-btf <file>', 'BTF that split BTF goes on from')
    .addHelpText(
      'after',
      `
Examples:
  elfbee run prog.bpf.o --data packet.pcap     run the first program on captured packets
  elfbee show prog.bpf.o                       what is in an object
  elfbee btf dump file prog.bpf.o format c     its types as a C header
  elfbee doctor                                what this machine can do
${EXIT_CODES_HELP}`,
    )
  for (const entry of COMMANDS) {
    const command = program.command(entry.name).summary(entry.summary).description(entry.summary)
    configure(command, io)
    if (entry !== chosen || module === undefined) continue
    module.describe(command)
    command.action(async () => {
      const options = command.optsWithGlobals<GlobalOptions & Record<string, unknown>>()
      const context = new CliContext(io, options)
      onContext(context)
      await module.run(context, command.args, options)
    })
  }
  return program
}

function configure(command: Command, io: ComplainingIo): void {
  command
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.complain(text),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      getOutHelpWidth: () => 100,
      getErrHelpWidth: () => 100,
    })
    .showSuggestionAfterError(true)
    .helpOption('-h, --help', 'show this help')
}
