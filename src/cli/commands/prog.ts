import type { Command } from 'commander'
import { closeFd } from '../../kernel/index.ts'
import type { CliContext } from '../frame/context.ts'
import { Words } from '../frame/words.ts'
import { holders } from '../system/fdinfo.ts'
import { JsonWriter } from '../system/json-writer.ts'
import { progJson, progText } from '../system/prog-show.ts'
import { forEachObject, selectPrograms } from '../system/select.ts'

const USAGE = `usage: elfbee prog show [PROG]
       PROG := id ID | tag TAG | name NAME | pinned FILE`

export function describe(command: Command): void {
  command
    .description('Shows programs of the running kernel, in the form of bpftool.')
    .usage('show [id ID | tag TAG | name NAME | pinned FILE]')
    .argument('[words...]')
    .addHelpText(
      'after',
      `
${USAGE}

Examples:
  sudo elfbee prog show
  sudo elfbee -p prog show name count_packets`,
    )
}

export function run(context: CliContext, args: readonly string[]): void {
  const words = new Words(args, USAGE)
  if (!words.isEmpty) words.keyword(['show', 'list'], 'command')
  show(context, words)
}

function show(context: CliContext, words: Words): void {
  const held = holders('prog')
  const json = new JsonWriter(context.pretty)
  let text = ''
  const one = (fd: number): void => {
    if (context.asJson) progJson(json, fd, held)
    else text += progText(fd, held)
  }
  if (words.isEmpty) {
    if (context.asJson) json.array(() => forEachObject('prog', one))
    else forEachObject('prog', one)
  } else {
    const fds = selectPrograms(words)
    words.end()
    const all = (): void => fds.forEach(one)
    if (context.asJson && fds.length > 1) json.array(all)
    else all()
    fds.forEach((fd) => closeFd(fd))
  }
  context.printExact(context.asJson ? `${json.toString()}\n` : text)
}
