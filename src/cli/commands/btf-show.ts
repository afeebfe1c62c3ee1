import { closeFd } from '../../kernel/index.ts'
import type { CliContext } from '../frame/context.ts'
import type { Words } from '../frame/words.ts'
import { btfJson, btfText, btfUsers } from '../system/btf-show.ts'
import { JsonWriter } from '../system/json-writer.ts'
import { forEachObject, openId } from '../system/select.ts'

/** `btf show [id ID]`: type information in the running kernel. In a module of its own, so that dumps load faster. */
export function showBtf(context: CliContext, words: Words): void {
  const users = btfUsers()
  const json = new JsonWriter(context.pretty)
  let text = ''
  const one = (fd: number): void => {
    if (context.asJson) btfJson(json, fd, users)
    else text += btfText(fd, users)
  }
  if (words.isEmpty) {
    if (context.asJson) json.array(() => forEachObject('btf', one))
    else forEachObject('btf', one)
  } else {
    words.keyword(['id'], 'way to name a BTF')
    const fd = openId('btf', words.number('a BTF id'))
    try {
      words.end()
      one(fd)
    } finally {
      closeFd(fd)
    }
  }
  context.printExact(context.asJson ? `${json.toString()}\n` : text)
}
