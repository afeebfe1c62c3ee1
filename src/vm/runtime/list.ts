import type { LinearMemory } from './memory.ts'

/** struct bpf_list_head and the start of struct bpf_list_node: u64 next, u64 prev. */
const NEXT = 0
const PREV = 8
/** In struct bpf_list_node: address of the list's head, 0 while it is in no list. */
const OWNER = 16

/** Puts a node into a list; false when it is in one already. */
export function pushNode(memory: LinearMemory, head: number, node: number, tail: boolean): boolean {
  initialise(memory, head)
  if (memory.u32(node + OWNER) !== 0) return false
  const before = tail ? memory.u32(head + PREV) : head
  const after = tail ? head : memory.u32(head + NEXT)
  link(memory, before, node)
  link(memory, node, after)
  memory.setU64(node + OWNER, BigInt(head))
  return true
}

/** Takes the first or last node out of a list; 0 when it is empty. */
export function popNode(memory: LinearMemory, head: number, tail: boolean): number {
  const node = endNode(memory, head, tail)
  if (node === 0) return 0
  link(memory, memory.u32(node + PREV), memory.u32(node + NEXT))
  link(memory, node, node)
  memory.setU64(node + OWNER, 0n)
  return node
}

/** The first or last node of a list, 0 when it is empty. */
export function endNode(memory: LinearMemory, head: number, tail: boolean): number {
  initialise(memory, head)
  const node = memory.u32(head + (tail ? PREV : NEXT))
  return node === head ? 0 : node
}

/** A head of zeros is an empty list. */
function initialise(memory: LinearMemory, head: number): void {
  if (memory.u32(head + NEXT) === 0) link(memory, head, head)
}

function link(memory: LinearMemory, before: number, after: number): void {
  memory.setU64(before + NEXT, BigInt(after))
  memory.setU64(after + PREV, BigInt(before))
}
