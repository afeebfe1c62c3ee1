import type { Command } from 'commander'
import { BpfError } from '../../bytes/index.ts'
import { prepare } from '../../loader/index.ts'
import type { CliContext } from '../frame/context.ts'
import { escapeText } from '../frame/escape.ts'
import { ExitCode } from '../frame/exit.ts'
import { errorText } from '../frame/report.ts'
import { suggestion } from '../frame/suggest.ts'
import { listing, preparedListings, type Listing, type Syntax } from '../object/listing.ts'
import { coreTarget } from '../object/core.ts'
import { openSpec, programNamed, reachable } from '../object/open-spec.ts'

export function describe(command: Command): void {
  command
    .description(
      'Prints instructions, as they are in the object, or with --relocated as they would be loaded: subprograms linked ' +
        'and CO-RE relocations applied.',
    )
    .argument('<object>', 'BPF object file')
    .option('--program <name>', 'only this program (or function) and the functions that it calls')
    .option(
      '--syntax <syntax>',
      'kernel (as bpftool and the verifier print) or llvm (as llvm-objdump prints)',
      'kernel',
    )
    .option('--source', 'with the C lines')
    .option('--relocated', 'as loaded: subprograms linked, CO-RE applied')
    .option('--btf <file>', 'with --relocated: BTF that CO-RE relocates against (default: the running kernel)')
    .addHelpText(
      'after',
      `
Examples:
  elfbee disasm prog.bpf.o
  elfbee disasm prog.bpf.o --program xdp_main --source
  elfbee disasm prog.bpf.o --relocated --btf vmlinux.btf
  elfbee disasm prog.bpf.o --syntax llvm --json

JSON: [{ name, section, kind: "program"|"subprogram", insns: [{ slot, text, reference?, source? }] }]`,
    )
}

export async function run(
  context: CliContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const path = args[0] as string
  const syntax = options['syntax'] as Syntax
  if (syntax !== 'kernel' && syntax !== 'llvm') {
    throw new BpfError('usage', `--syntax must be kernel or llvm, not '${String(syntax)}'`)
  }
  const spec = openSpec(path)
  const wanted = options['program']
  if (options['relocated'] === true) {
    const target = await coreTarget(typeof options['btf'] === 'string' ? options['btf'] : undefined)
    const names = typeof wanted === 'string' ? [programNamed(spec, wanted).name] : Object.keys(spec.programs)
    const listings: Listing[] = []
    for (const result of prepare(spec, { kernelBtf: target?.btf ?? null, programs: names }).programs) {
      if (result.ok) listings.push(...preparedListings(spec, result.program, syntax))
      else {
        context.exitCode = ExitCode.refused
        context.io.stderr.write(errorText(result.error, context.style))
      }
    }
    print(context, listings, options['source'] === true)
    return
  }
  let functions = spec.functions
  if (typeof wanted === 'string') {
    const root = spec.functions.find((fn) => fn.name === wanted)
    if (root === undefined) {
      const names = spec.functions.map((fn) => fn.name)
      throw new BpfError('not-found', `there is no function '${wanted}'${suggestion(wanted, names)}`, {
        where: { file: path },
      })
    }
    functions = reachable(spec, root.index)
  }
  print(
    context,
    functions.map((fn) => listing(spec, fn, syntax)),
    options['source'] === true,
  )
}

function print(context: CliContext, listings: readonly Listing[], withSource: boolean): void {
  if (context.asJson) context.printJson(listings)
  else context.print(listings.map((each) => listingText(context, each, withSource)).join('\n'))
}

function listingText(context: CliContext, list: Listing, withSource: boolean): string {
  const { style } = context
  const title = `${list.name}: ${list.kind}, section ${list.section}, ${list.slots} slots`
  let text = `${style.bold(escapeText(title))}\n`
  for (const insn of list.insns) {
    if (withSource && insn.source !== undefined) text += `${style.dim(escapeText(`; ${insn.source}`))}\n`
    const note = insn.reference === undefined ? '' : style.dim(`  ; ${escapeText(insn.reference)}`)
    text += `${String(insn.slot).padStart(5)}: ${escapeText(insn.text)}${note}\n`
  }
  return text
}
