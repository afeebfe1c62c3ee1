import { encodeUtf8 } from '../../bytes/index.ts'
import { BtfKind, type Btf } from '../../btf/index.ts'
import type { FakeTask } from './runtime.ts'

/** Size when the layout is not known; larger than the struct of any kernel in use. */
const UNKNOWN_SIZE = 16384
/** Pointers of a task to itself, for a process that is its own parent and leader. */
const SELF: ReadonlySet<string> = new Set(['real_parent', 'parent', 'group_leader'])

/**
 * A struct task_struct in the layout that `btf` has, with the numbers and the name of the task. Its parent and leader
 * are the task itself, so that programs may follow these pointers; all other fields are zero.
 * @param address where the bytes will lie
 */
export function taskStruct(btf: Btf | null, task: FakeTask, address: number): Uint8Array {
  const id = btf?.findByName('task_struct', BtfKind.STRUCT)
  if (btf === null || id === undefined) return new Uint8Array(UNKNOWN_SIZE)
  const type = btf.type(id)
  if (type.kind !== BtfKind.STRUCT) return new Uint8Array(UNKNOWN_SIZE)
  const bytes = new Uint8Array(type.size)
  const view = new DataView(bytes.buffer)
  for (const member of type.members) {
    const offset = member.bitOffset / 8
    if (member.bitSize !== 0 || offset + 16 > bytes.length) continue
    if (member.name === 'pid') view.setUint32(offset, task.pid, true)
    else if (member.name === 'tgid') view.setUint32(offset, task.tgid, true)
    else if (member.name === 'comm') bytes.set(encodeUtf8(task.comm).subarray(0, 15), offset)
    else if (SELF.has(member.name)) view.setUint32(offset, address, true)
  }
  return bytes
}

/** Bytes that taskStruct() gives. */
export function taskStructSize(btf: Btf | null): number {
  const id = btf?.findByName('task_struct', BtfKind.STRUCT)
  return btf === null || id === undefined ? UNKNOWN_SIZE : btf.sizeOf(id)
}
