import type { Btf } from '../../btf/index.ts'

/**
 * A name without its flavour: what stands before the last "___" that is between other characters
 * (libbpf, bpf_core_essential_name_len). "task_struct___v5" is the flavour v5 of task_struct.
 */
export function essentialName(name: string): string {
  for (let i = name.length - 5; i >= 0; i--) {
    if (name.startsWith('___', i + 1) && name[i] !== '_' && name[i + 4] !== '_') return name.slice(0, i + 1)
  }
  return name
}

/** Whether two string offsets of two BTFs have the same text. Compares bytes: this is the innermost loop of CO-RE. */
export function sameText(a: Btf, aOffset: number, b: Btf, bOffset: number): boolean {
  const ownerA = a.stringOwner(aOffset)
  const ownerB = b.stringOwner(bOffset)
  const bytesA = ownerA.strings
  const bytesB = ownerB.strings
  let i = aOffset - ownerA.firstStringOffset
  let j = bOffset - ownerB.firstStringOffset
  for (;;) {
    const byte = bytesA[i]
    if (byte !== bytesB[j]) return false
    if (byte === 0 || byte === undefined) return true
    i++
    j++
  }
}

/** Whether two names are equal but for their flavours; the empty name equals only itself. */
export function sameEssential(a: string, b: string): boolean {
  return a === b || essentialName(a) === essentialName(b)
}
