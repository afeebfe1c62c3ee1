import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { BpfError, decodeUtf8, isBpfError } from '../../bytes/index.ts'
import {
  CONFORMANCE_GROUPS,
  conformanceNeeds,
  parseConformance,
  runConformance,
  type ConformanceCase,
  type ConformanceOutcome,
} from '../../testing/index.ts'
import type { CliContext } from '../frame/context.ts'
import { escapeText } from '../frame/escape.ts'
import { ExitCode } from '../frame/exit.ts'

export function describe(command: Command): void {
  command
    .description(
      'Runs tests in the format of the bpf_conformance suite (.data files: a program, its memory, the result) in the vm.',
    )
    .argument('<file...>', '.data files, or directories with them')
    .option('--interpreter', 'run all in the interpreter, not in the JIT')
    .option('--cpu-version <version>', 'only tests that v1, v2, v3 or v4 can run')
    .option('--include-groups <groups>', `only tests that need no more than these: ${CONFORMANCE_GROUPS.join(', ')}`)
    .option('--exclude-groups <groups>', 'no tests that need one of these')
    .addHelpText(
      'after',
      `
Examples:
  elfbee conformance tests/
  elfbee conformance tests/ --cpu-version v3 --exclude-groups atomic32,atomic64
  elfbee conformance add.data --interpreter --json

The exit code is 1 when a test fails.
JSON: { passed, failed, skipped, tests: [{ name, outcome: "passed"|"failed"|"skipped", engine, result, error, expected, reason }] }`,
    )
}

interface TestReport {
  readonly name: string
  readonly outcome: 'passed' | 'failed' | 'skipped'
  readonly engine: string | null
  readonly result: string | null
  readonly error: string | null
  readonly expected: string | null
  /** Why it was skipped. */
  readonly reason: string | null
}

const SKIPPED = { engine: null, result: null, error: null, expected: null } as const

export function run(context: CliContext, args: readonly string[], options: Readonly<Record<string, unknown>>): void {
  const filter = filterOf(options)
  const engine = options['interpreter'] === true ? 'interpreter' : 'jit'
  const files = args.flatMap(dataFiles)
  const tests = files.map((file): TestReport => {
    context.progress(`testing ${file}`)
    let test: ConformanceCase
    try {
      test = parseConformance(decodeUtf8(readFileSync(file)), file)
    } catch (error) {
      if (!isBpfError(error)) throw error
      return { ...SKIPPED, name: file, outcome: 'failed', error: error.message, reason: null }
    }
    const reason = filter(test)
    if (reason !== null) return { ...SKIPPED, name: file, outcome: 'skipped', reason }
    return reportOf(runConformance(test, engine))
  })
  const number = (outcome: TestReport['outcome']): number => tests.filter((test) => test.outcome === outcome).length
  const [passed, failed, skipped] = [number('passed'), number('failed'), number('skipped')]
  if (failed > 0) context.exitCode = ExitCode.failure
  if (context.asJson) context.printJson({ passed, failed, skipped, tests })
  else
    context.print(
      `${tests.map((test) => lineOf(context, test)).join('')}${passed} passed, ${failed} failed, ${skipped} skipped\n`,
    )
}

function reportOf(outcome: ConformanceOutcome): TestReport {
  const { name, passed, engine, result, error, expected } = outcome
  const hex = result === null ? null : `0x${result.toString(16)}`
  return { name, outcome: passed ? 'passed' : 'failed', engine, result: hex, error, expected, reason: null }
}

function lineOf(context: CliContext, test: TestReport): string {
  const name = escapeText(test.name)
  if (test.outcome === 'passed') return `${context.style.green('PASS')}  ${name}\n`
  if (test.outcome === 'skipped') return `${context.style.dim('SKIP')}  ${name}: ${escapeText(test.reason ?? '')}\n`
  const got = test.result ?? test.error ?? ''
  const wanted = test.expected === null ? '' : `, expected ${test.expected}`
  return `${context.style.red('FAIL')}  ${name}: ${escapeText(`${got}${wanted}`)}\n`
}

/** Files of an argument, sorted; those of a directory at any depth. */
function dataFiles(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path]
    const names = readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.data'))
    if (names.length === 0) throw new BpfError('not-found', `there are no .data files in ${path}`)
    return names.sort().map((name) => join(path, name))
  } catch (error) {
    if (isBpfError(error)) throw error
    throw new BpfError('not-found', `cannot read ${path}: ${(error as Error).message}`, {
      where: { file: path },
      cause: error,
    })
  }
}

/** Gives the reason to leave a test out, or null. */
function filterOf(options: Readonly<Record<string, unknown>>): (test: ConformanceCase) => string | null {
  const version = /^v?([1-4])$/.exec(textOf(options, 'cpuVersion') ?? 'v4')?.[1]
  if (version === undefined)
    throw new BpfError('usage', `--cpu-version is v1 to v4, not '${textOf(options, 'cpuVersion')}'`)
  const limit = textOf(options, 'cpuVersion') === undefined ? Infinity : Number(version)
  const included = groupsOf(options, 'includeGroups')
  const excluded = groupsOf(options, 'excludeGroups') ?? []
  return (test) => {
    let needs
    try {
      needs = conformanceNeeds(test.insns)
    } catch (error) {
      // Tests of what must be refused have instructions that are none.
      if (isBpfError(error)) return null
      throw error
    }
    if (needs.version > limit) return `needs ${needs.version > 4 ? 'what no version has' : `v${needs.version}`}`
    const wrong = needs.groups.find((group) => excluded.includes(group) || included?.includes(group) === false)
    return wrong === undefined ? null : `needs ${wrong}`
  }
}

function textOf(options: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = options[name]
  return typeof value === 'string' ? value : undefined
}

function groupsOf(options: Readonly<Record<string, unknown>>, name: string): readonly string[] | undefined {
  const groups = textOf(options, name)?.split(/[ ,]+/)
  for (const group of groups ?? []) {
    if (!(CONFORMANCE_GROUPS as readonly string[]).includes(group)) {
      throw new BpfError('usage', `there is no group '${group}'; the groups are ${CONFORMANCE_GROUPS.join(', ')}`)
    }
  }
  return groups
}
