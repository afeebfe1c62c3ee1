import { InvalidArgumentError, type Command } from 'commander'
import { BpfError } from '../../bytes/index.ts'
import type { BackendMap, Instrument, LoadedObject, ObjectSpec, ProgramSpec } from '../../loader/index.ts'
import { openBtf } from '../frame/btf-file.ts'
import type { CliContext } from '../frame/context.ts'
import { ExitCode } from '../frame/exit.ts'
import { errorJson, errorText } from '../frame/report.ts'
import { openSpec, programNamed } from '../object/open-spec.ts'
import { takesPacket } from '../../uapi/index.ts'
import { coverageJson, coverageOf, coverageText } from '../run/coverage.ts'
import { readContext, readPackets } from '../run/inputs.ts'
import { printsTrace, readKernelTrace } from '../run/kernel-trace.ts'
import { loadPrograms, openBackend, runProgram, type RunRecord } from '../run/session.ts'
import { stepsJson, stepsText } from '../run/steps.ts'
import { collectMaps, EventCollector, eventsJson, mapsJson } from '../run/state.ts'
import { eventsText, mapsText, runLine, runText, traceText, type TextOptions } from '../run/text.ts'
import { setVariables } from '../run/variables.ts'

interface RunOptions {
  readonly program?: string[]
  readonly data?: string
  readonly ctx?: string
  readonly repeat: number
  readonly kernel?: boolean
  readonly interpreter?: boolean
  readonly verify: boolean
  readonly coverage?: boolean
  readonly steps?: boolean
  readonly set?: string[]
  readonly btf?: string
  readonly verbose?: boolean
}

export function describe(command: Command): void {
  command
    .description(
      'Loads an object, runs a program of it on a packet or a context, and prints what came out: the return value, ' +
        'the changed packet, the maps, events and trace output. Runs in the vm, which needs no Linux and no ' +
        'permission, or with --kernel in the running kernel (BPF_PROG_TEST_RUN).',
    )
    .argument('<object>', 'BPF object file')
    .option(
      '--program <name>',
      'program to run, the first one if left out; may be repeated to run several in order',
      collect,
    )
    .option('--data <data>', 'packet: hex digits, a file (bytes or hex digits), or a pcap or pcapng file')
    .option('--ctx <data>', 'context: hex digits or a file; zeros if left out')
    .option('--repeat <count>', 'run so many times; the duration is the average', parseCount, 1)
    .option('--set <var=value>', 'set a global variable before loading; may be repeated', collect)
    .option('--kernel', 'run in the kernel')
    .option('--interpreter', 'run in the vm by its interpreter, not by the WebAssembly JIT')
    .option('--no-verify', 'run in the vm what the verifier refuses or cannot judge')
    .option('--coverage', 'show which C lines ran, and how often')
    .option('--steps', 'show each instruction as it ran, with the registers that it changed')
    .option('--btf <file>', 'BTF that CO-RE relocates against (default: the running kernel, where it can be read)')
    .option('-v, --verbose', 'show everything: unchanged packets and variables, all entries')
    .addHelpText(
      'after',
      `
Examples:
  elfbee run packet_counter.bpf.o --data capture.pcap
  elfbee run packet_counter.bpf.o --data 020000000002020000000001080045...
  elfbee run packet_counter.bpf.o --data capture.pcap --coverage
  elfbee run filter.bpf.o --program classify --set blocked_port=53 --json
  sudo elfbee run packet_counter.bpf.o --data packet.hex --kernel --repeat 1000

Without --data a packet is 60 zero bytes. Arrays are shown without their elements that are all zero.

JSON: { program, type, backend, retval, verdict, data, ctx, maps, events, trace, durationNs, runs?, failed? }
  data, ctx    hex digits after the run, null when the type has none
  maps         { NAME: { type, entries: [{ key, value }] } }, values: [...] by CPU for per-CPU maps,
               { type, value } for data sections
  coverage     with --coverage: { instructions, covered, lines: [{ file, line, text, hits, instructions, covered }] }
  steps        with --steps: [{ program, insn, registers: [r0 to r10 before it] }]
  events       [{ map, cpu, data, value? }]
  runs         all runs, when there is more than one: the fields above are those of the last
  failed       programs that did not load: [{ program, section, error, ... }]
  error        of a run that was stopped (a trap, or what the kernel says); retval is null then
  64-bit integers are numbers up to 2^53 and strings of decimal digits beyond`,
    )
}

export async function run(
  context: CliContext,
  args: readonly string[],
  given: Readonly<Record<string, unknown>>,
): Promise<void> {
  const options = given as unknown as RunOptions
  if (options.kernel === true && options.interpreter === true) {
    throw new BpfError('usage', '--interpreter belongs to the vm, it cannot be combined with --kernel')
  }
  const instrument = instrumentOf(options)
  const spec = openSpec(args[0] ?? '')
  const programs = chosenPrograms(spec, options)
  setVariables(spec, options.set ?? [])
  const packets = options.data === undefined ? [null] : readPackets(options.data)
  const ctx = options.ctx === undefined ? null : readContext(options.ctx)
  if (options.data !== undefined && !programs.some((program) => takesPacket(program.type))) {
    context.warn(`${programs[0]?.name ?? ''} takes no packet: --data is not used (its context is --ctx)`)
  }
  context.progress('loading type information')
  const choice = {
    kernel: options.kernel === true,
    interpreter: options.interpreter === true,
    verify: options.verify,
    btf: options.btf === undefined ? undefined : await openBtf(options.btf),
  }
  const backend = await openBackend(choice)
  let loaded: LoadedObject | undefined
  try {
    context.progress('loading programs')
    loaded = await loadPrograms(spec, backend, programs, instrument)
    const failed = loaded.report.programs.filter((program) => program.status === 'failed')
    if (failed.length > 0) context.exitCode = ExitCode.refused
    const where = choice.kernel ? 'the kernel' : 'the vm'
    const maps = new Map(Object.entries(loaded.maps).map(([name, map]): [string, BackendMap] => [name, map.raw]))
    const events = new EventCollector(spec, maps)
    const records: RunRecord[] = []
    for (const program of programs) {
      const ready = loaded.programs[program.name]
      if (ready === undefined) continue
      for (const packet of takesPacket(program.type) ? packets : [null]) {
        context.progress(`run ${records.length + 1}`)
        const record = runProgram(ready, program, { packet, ctx, repeat: options.repeat })
        if (record.error !== null) context.exitCode = ExitCode.failure
        records.push(record)
        events.collect()
      }
    }
    const trace = [...records.flatMap((record) => record.trace), ...kernelTrace(context, loaded, backend.name)]
    if (events.lost > 0) context.warn(`${events.lost} records did not fit their ring or perf buffer`)
    const states = collectMaps(spec, maps)
    const coverage =
      instrument === 'count'
        ? coverageOf(
            loaded,
            programs.map(({ name }) => name),
          )
        : null
    const ran = Object.values(loaded.programs)
    if (context.asJson) {
      const last = records.at(-1)
      context.printJson({
        ...(last === undefined ? { program: programs[0]?.name ?? null } : recordJson(last)),
        backend: backend.name,
        maps: mapsJson(spec.btf, states),
        events: eventsJson(spec.btf, events.events),
        trace,
        ...(coverage === null ? {} : { coverage: coverageJson(coverage) }),
        ...(instrument === 'trace' ? { steps: ran.flatMap(stepsJson) } : {}),
        ...(records.length > 1 ? { runs: records.map(recordJson) } : {}),
        ...(failed.length === 0
          ? {}
          : {
              failed: failed.map((report) => ({
                program: report.name,
                section: report.section,
                ...errorJson(report.error),
              })),
            }),
      })
      return
    }
    for (const report of failed) context.io.stderr.write(errorText(report.error, context.style))
    printErrors(context, records)
    const text: TextOptions = { style: context.style, verbose: options.verbose === true }
    if (packets.length > 1) context.print(manyRuns(records, where, text))
    else context.print(records.map((record) => runText(record, where, text)).join(''))
    if (instrument === 'trace') context.print(ran.map((program) => stepsText(program, context.style)).join(''))
    context.print(mapsText(spec, states, text) + eventsText(spec, events.events, text) + traceText(trace, text))
    if (coverage !== null) context.print(coverageText(coverage, context.style))
  } finally {
    loaded?.close()
    backend.close()
  }
}

function instrumentOf({ coverage, steps, kernel }: RunOptions): Instrument | undefined {
  if (coverage === true && steps === true) throw new BpfError('usage', '--coverage cannot be combined with --steps')
  if (coverage !== true && steps !== true) return undefined
  if (kernel === true) {
    throw new BpfError(
      'usage',
      `${coverage === true ? '--coverage' : '--steps'} is for runs in the vm, without --kernel`,
    )
  }
  return coverage === true ? 'count' : 'trace'
}

function manyRuns(records: readonly RunRecord[], where: string, options: TextOptions): string {
  const width = String(records.length).length + 1
  let text = ''
  let program = ''
  records.forEach((record, index) => {
    if (record.program !== program) text += `${options.style.bold(record.program)} (${record.type}) in ${where}\n`
    program = record.program
    text += runLine(record, index, width, options.style)
  })
  return text
}

/** What programs have printed in the kernel; the vm gives it with each run. */
function kernelTrace(context: CliContext, loaded: LoadedObject, backend: 'kernel' | 'vm'): string[] {
  if (backend !== 'kernel') return []
  if (!Object.values(loaded.programs).some((program) => printsTrace(program.prepared.insns))) return []
  const lines = readKernelTrace()
  if (lines === null) {
    context.warn('what bpf_trace_printk prints cannot be read: mount -t tracefs tracefs /sys/kernel/tracing')
  }
  return lines ?? []
}

/** What stopped the runs: the same error of many packets once. */
function printErrors(context: CliContext, records: readonly RunRecord[]): void {
  const counts = new Map<string, number>()
  for (const { error } of records) {
    if (error === null) continue
    const text = errorText(error, context.style)
    counts.set(text, (counts.get(text) ?? 0) + 1)
  }
  for (const [text, count] of counts) {
    context.io.stderr.write(count === 1 ? text : `${text}  (the same in ${count} runs)\n`)
  }
}

function recordJson(record: RunRecord): Record<string, unknown> {
  const { program, type, retval, verdict, data, ctx, durationNs, trace, error } = record
  if (error !== null)
    return { program, type, retval: null, verdict, data, ctx, durationNs: null, trace, ...errorJson(error) }
  return { program, type, retval, verdict, data, ctx, durationNs: Math.round(durationNs), trace }
}

function chosenPrograms(spec: ObjectSpec, options: RunOptions): ProgramSpec[] {
  if (options.program !== undefined) return options.program.map((name) => programNamed(spec, name))
  const all = Object.values(spec.programs)
  const first = all.find((program) => program.autoload) ?? all[0]
  if (first === undefined) throw new BpfError('not-found', 'the object has no programs', { where: { file: spec.file } })
  return [first]
}

function collect(value: string, all: string[] | undefined): string[] {
  return [...(all ?? []), value]
}

function parseCount(text: string): number {
  const count = Number(text)
  if (!/^\d+$/.test(text) || count < 1 || count > 0x7fffffff) {
    throw new InvalidArgumentError('expected a number from 1 to 2147483647')
  }
  return count
}
