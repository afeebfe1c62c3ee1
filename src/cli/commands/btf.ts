import type { Command } from 'commander'
import { BpfError, within } from '../../bytes/index.ts'
import type { CliContext } from '../frame/context.ts'
import { openBtf } from '../frame/btf-file.ts'
import { Words } from '../frame/words.ts'

const USAGE = `usage: elfbee btf dump file FILE [format {raw|c [unsorted]}] [root_id ID]... [-B BASE_FILE]
       elfbee btf dump id ID [format {raw|c [unsorted]}] [root_id ID]...
       elfbee btf show [id ID]`

export function describe(command: Command): void {
  command
    .description('Prints type information, byte for byte as bpftool does.')
    .usage('dump|show [...]')
    .argument('[words...]')
    .addHelpText(
      'after',
      `
${USAGE}

FILE is an object with a .BTF section, or raw BTF such as /sys/kernel/btf/vmlinux. BTF of a kernel module
(/sys/kernel/btf/NAME) is read on top of vmlinux; for other split BTF name its base with -B.

Examples:
  elfbee btf dump file /sys/kernel/btf/vmlinux format c > vmlinux.h
  elfbee btf dump file prog.bpf.o
  elfbee -j btf dump file prog.bpf.o root_id 7
  elfbee btf -B vmlinux.btf dump file module.btf
  sudo elfbee btf show`,
    )
}

export async function run(
  context: CliContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const words = new Words(args, USAGE)
  const command = words.isEmpty ? 'show' : words.keyword(['show', 'list', 'dump'], 'command')
  if (command !== 'dump') {
    const { showBtf } = await import('./btf-show.ts')
    showBtf(context, words)
    return
  }
  const source = words.keyword(['id', 'file'], 'source')
  const path = source === 'file' ? words.next('a file') : String(words.number('a BTF id'))
  let format: 'raw' | 'c' = 'raw'
  let sort = true
  const ids: number[] = []
  while (!words.isEmpty) {
    if (words.takes('format')) {
      format = words.keyword(['raw', 'c'], 'format')
      if (format === 'c' && words.takes('unsorted')) sort = false
    } else if (words.takes('root_id')) ids.push(words.number('a type id'))
    else throw words.error(`unexpected '${words.peek() ?? ''}'`)
  }
  if (format === 'c' && context.asJson) throw new BpfError('usage', 'JSON output for C-syntax dump is not supported')
  const btf =
    source === 'file'
      ? await openBtf(path, typeof options['baseBtf'] === 'string' ? options['baseBtf'] : undefined)
      : (await import('../system/select.ts')).btfById(Number(path))
  const selection = ids.length === 0 ? {} : { ids }
  const where = { file: source === 'file' ? path : `BTF ${path}` }
  let text: string
  if (format === 'c') {
    const { dumpC } = await import('../../btf/c/dump.ts')
    text = within(where, () => dumpC(btf, { ...selection, sort, compat: 'bpftool' }))
  } else if (context.asJson) {
    const { dumpJson } = await import('../../btf/dump-json.ts')
    text = within(where, () => dumpJson(btf, { ...selection, pretty: context.pretty, compat: 'bpftool' }))
  } else {
    const { dumpRaw } = await import('../../btf/dump-raw.ts')
    text = within(where, () => dumpRaw(btf, selection))
  }
  context.printExact(text)
}
