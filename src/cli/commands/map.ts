import type { Command } from 'commander'
import { KernelMap, mapInfo } from '../../kernel/index.ts'
import type { CliContext } from '../frame/context.ts'
import { Words } from '../frame/words.ts'
import { JsonWriter } from '../system/json-writer.ts'
import { plainDump, typedDump, withTypes } from '../system/map-dump.ts'
import { mapHeaderJson, mapHeaderText, mapJson, mapText } from '../system/map-show.ts'
import { selectMaps } from '../system/select.ts'
import { showObjects, type ShownKind } from '../system/show.ts'

const USAGE = `usage: elfbee map show [MAP]
       elfbee map dump MAP
       MAP := id ID | name NAME | pinned FILE`

const SHOWN: ShownKind = { kind: 'map', select: selectMaps, json: mapJson, text: mapText }

export function describe(command: Command): void {
  command
    .description('Shows maps of the running kernel and what they hold, in the form of bpftool.')
    .usage('show|dump [id ID | name NAME | pinned FILE]')
    .argument('[words...]')
    .addHelpText(
      'after',
      `
${USAGE}

Examples:
  sudo elfbee map show
  sudo elfbee map dump name flows
  sudo elfbee -p map dump pinned /sys/fs/bpf/flows`,
    )
}

export function run(context: CliContext, args: readonly string[]): void {
  const words = new Words(args, USAGE)
  const command = words.isEmpty ? 'show' : words.keyword(['show', 'list', 'dump'], 'command')
  if (command === 'dump') dump(context, words)
  else showObjects(context, words, SHOWN)
}

function dump(context: CliContext, words: Words): void {
  const maps = selectMaps(words).map((fd) => withTypes(new KernelMap(fd, mapInfo(fd))))
  words.end()
  const isTyped = maps.every(({ btf }) => btf !== null)
  const several = maps.length > 1
  try {
    if (!context.asJson && !isTyped) {
      const texts = maps.map((map) => (several ? mapHeaderText(map.info) : '') + plainDump(map))
      context.printExact(texts.join('\n'))
      return
    }
    const json = new JsonWriter(context.asJson ? context.pretty : true)
    const all = (): void => {
      for (const map of maps) {
        if (!several) typedDump(json, map, context.asJson)
        else {
          json.object(() => {
            mapHeaderJson(json, map.info)
            json.name('elements')
            typedDump(json, map, context.asJson)
          })
        }
      }
    }
    if (several) json.array(all)
    else all()
    context.printExact(`${json.toString()}\n`)
  } finally {
    for (const { map } of maps) map.close()
  }
}
