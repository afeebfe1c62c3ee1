import { closeFd } from '../../kernel/index.ts'
import type { CliContext } from '../frame/context.ts'
import type { Words } from '../frame/words.ts'
import { holders, type Holder } from './fdinfo.ts'
import { JsonWriter } from './json-writer.ts'
import { forEachObject } from './select.ts'

type Holders = ReadonlyMap<number, readonly Holder[]>

/** How one kind of kernel object is chosen and printed. */
export interface ShownKind {
  readonly kind: 'map' | 'prog'
  /** Descriptors of the objects that words name; the caller closes them. */
  select(words: Words): readonly number[]
  json(json: JsonWriter, fd: number, held: Holders): void
  text(fd: number, held: Holders): string
}

/** `map show` and `prog show`: all objects of the kernel, or those that the words name, as bpftool prints them. */
export function showObjects(context: CliContext, words: Words, shown: ShownKind): void {
  const held = holders(shown.kind)
  const json = new JsonWriter(context.pretty)
  let text = ''
  const one = (fd: number): void => {
    if (context.asJson) shown.json(json, fd, held)
    else text += shown.text(fd, held)
  }
  if (words.isEmpty) {
    if (context.asJson) json.array(() => forEachObject(shown.kind, one))
    else forEachObject(shown.kind, one)
  } else {
    const fds = shown.select(words)
    words.end()
    const all = (): void => fds.forEach(one)
    if (context.asJson && fds.length > 1) json.array(all)
    else all()
    fds.forEach((fd) => closeFd(fd))
  }
  context.printExact(context.asJson ? `${json.toString()}\n` : text)
}
