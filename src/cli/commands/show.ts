import type { Command } from 'commander'
import type { ObjectSpec } from '../../loader/index.ts'
import type { CliContext } from '../frame/context.ts'
import { escapeText } from '../frame/escape.ts'
import { table } from '../frame/table.ts'
import { describeObject, type ObjectDescription } from '../object/describe.ts'
import { coreJson, coreOutcome, coreTarget, coreText } from '../object/core.ts'
import { openSpec } from '../object/open-spec.ts'

export function describe(command: Command): void {
  command
    .description('Shows what is in an object: programs, maps, variables, externs and CO-RE relocations. Loads nothing.')
    .argument('<object>', 'BPF object file')
    .option(
      '--btf <file>',
      'BTF that CO-RE relocations are tried on (default: the running kernel, where it can be read)',
    )
    .option('-v, --verbose', 'each CO-RE relocation, with the types that were tried and why they do not match')
    .addHelpText(
      'after',
      `
Examples:
  elfbee show prog.bpf.o
  elfbee show prog.bpf.o --btf /boot/vmlinux-5.10.btf --verbose
  elfbee show prog.bpf.o --json`,
    )
}

export async function run(
  context: CliContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const spec = openSpec(args[0] as string)
  const description = describeObject(spec)
  const hasCore = spec.functions.some((fn) => fn.coreRelocations.length > 0)
  context.progress('applying CO-RE relocations')
  const target = hasCore ? await coreTarget(typeof options['btf'] === 'string' ? options['btf'] : undefined) : null
  const outcome = target === null ? null : coreOutcome(spec, target)
  if (context.asJson) {
    context.printJson({ ...description, core: outcome === null ? null : coreJson(outcome) })
    return
  }
  context.print(objectText(context, spec, description))
  if (outcome !== null) context.print(`\n${coreText(outcome, context.style, options['verbose'] === true)}`)
  else if (hasCore)
    context.print('\nCO-RE relocations: not tried, no BTF of a kernel can be read here (name one with --btf)\n')
}

function objectText(context: CliContext, spec: ObjectSpec, object: ObjectDescription): string {
  const { style } = context
  const bold = (text: string): string => style.bold(text)
  const head = [
    `${object.endianness}-endian`,
    `license ${object.license === '' ? '(none)' : JSON.stringify(object.license)}`,
    object.btf === null ? 'no BTF' : `BTF with ${object.btf.types} types`,
  ]
  const parts = [`${escapeText(`${spec.file}: BPF object, ${head.join(', ')}`)}\n`]
  const section = (title: string, header: readonly string[], rows: readonly (readonly string[])[]): void => {
    if (rows.length > 0) parts.push(`${bold(title)}\n${table(header, rows, (text) => style.dim(text))}`)
  }
  section(
    'programs',
    ['NAME', 'SECTION', 'TYPE', 'ATTACH', 'SLOTS', 'CALLS', 'FLAGS'],
    object.programs.map((program) => [
      program.name,
      program.section,
      program.type,
      program.attach ?? '-',
      String(program.slots),
      program.subprograms.join(' ') || '-',
      [...program.flags, ...(program.autoload ? [] : ['optional'])].join(' ') || '-',
    ]),
  )
  section(
    'maps',
    ['NAME', 'TYPE', 'KEY', 'VALUE', 'ENTRIES', 'FLAGS'],
    object.maps.map((map) => [
      map.name,
      map.type + (map.inner === null ? '' : ` of ${map.inner.type}`),
      sized(map.keySize, map.keyType),
      sized(map.valueSize, map.dataSection === null ? map.valueType : null),
      String(map.maxEntries),
      [...map.flags, ...(map.pinning === 'none' ? [] : ['pinned by name']), ...slotWords(map.slots)].join(' ') || '-',
    ]),
  )
  section(
    'variables',
    ['NAME', 'TYPE', 'SECTION', 'VALUE'],
    object.variables.map((variable) => [
      variable.name,
      variable.type ?? `${variable.size} bytes`,
      variable.map,
      variable.text,
    ]),
  )
  section(
    'externs',
    ['NAME', 'KIND', 'TYPE', 'BINDING'],
    object.externs.map((extern) => [extern.name, extern.kind, extern.type ?? '-', extern.weak ? 'weak' : 'strong']),
  )
  const notes = [...object.notes, ...object.problems]
  if (notes.length > 0) parts.push(`${bold('notes')}\n${notes.map((note) => `  ${escapeText(note)}\n`).join('')}`)
  return parts.join('\n')
}

function sized(size: number, type: string | null): string {
  return type === null ? `${size}` : `${size} ${type}`
}

function slotWords(slots: Readonly<Record<string, string>>): string[] {
  return Object.entries(slots).map(([index, name]) => `[${index}]=${name}`)
}
