import { BtfKind, type Btf } from '../../../btf/index.ts'
import { invalid, Reject } from '../reject.ts'

const TAG = 'exception_callback:'

/**
 * First slot of the function that gets what a program throws, named by main's tag `exception_callback:NAME`; 0 without
 * one.
 */
export function exceptionCallback(
  btf: Btf | null,
  functions: readonly { readonly start: number; readonly btfId: number }[],
): number {
  const main = functions.find((f) => f.start === 0)?.btfId ?? 0
  if (btf === null || main === 0) return 0
  const tags: string[] = []
  for (const type of btf.types()) {
    const isMine = type.kind === BtfKind.DECL_TAG && type.type === main && type.componentIndex === -1
    if (isMine && type.name.startsWith(TAG)) tags.push(type.name.slice(TAG.length))
  }
  const [name] = tags
  if (name === undefined) return 0
  if (tags.length > 1) throw new Reject('EEXIST', 'multiple exception callback tags for main subprog')
  const id = btf.findByName(name, BtfKind.FUNC)
  if (id === undefined) throw new Reject('ENOENT', `exception callback '${name}' could not be found in BTF`)
  const func = btf.type(id)
  if (func.kind === BtfKind.FUNC && func.linkage !== 1) {
    invalid(`exception callback '${name}' must have global linkage`)
  }
  const found = functions.find((f) => f.btfId === id)
  if (found === undefined) return invalid('exception callback type id not found in func_info')
  if (found.start === 0) invalid('invalid exception callback insn_off in func_info: 0')
  return found.start
}
