import { BpfError, Reader } from '../../bytes/index.ts'
import type { Btf } from '../btf.ts'
import { BTF_HEADER_SIZE, BTF_MAX_NAME_OFFSET, BTF_MAX_SIZE } from '../layout.ts'
import { CheckContext } from './context.ts'
import { checkMeta } from './meta.ts'
import { TypeResolver } from './resolve.ts'
import { BtfKind } from '../types.ts'

/** Modifiers in a row that the kernel follows. */
const MAX_MODIFIERS = 32

/**
 * Checks a BTF as strictly as the kernel does before it loads one (kernel/bpf/btf.c of Linux 6.18, BPF_BTF_LOAD): the
 * header and sections, each type by itself, then that all references resolve, then type tags. Objects with extern
 * functions and variables do not pass as clang wrote them: libbpf and the loader change those before loading.
 * Rules about special members (bpf_spin_lock and the like) are not checked here.
 * @throws BpfError `malformed`, `limit` or `unsupported` that names the first type that the kernel would refuse
 */
export function checkBtf(btf: Btf): void {
  checkHeader(btf)
  const context = new CheckContext(btf)
  for (let id = btf.firstId; id < btf.typeCount; id++) checkMeta(context, id)
  const resolver = new TypeResolver(context)
  for (let id = btf.firstId; id < btf.typeCount; id++) {
    resolver.resolve(id)
    if (context.kind(id) === BtfKind.FUNC_PROTO) resolver.checkPrototype(id)
  }
  checkTypeTags(context)
}

function checkHeader(btf: Btf): void {
  const bytes = btf.bytes()
  const fail = (message: string, offset: number): never => {
    throw new BpfError('malformed', `BTF header: ${message}`, { where: { offset } })
  }
  if (bytes.length > BTF_MAX_SIZE) {
    throw new BpfError('limit', `BTF of ${bytes.length} bytes; the kernel takes up to ${BTF_MAX_SIZE}`)
  }
  const reader = new Reader(bytes, { name: 'BTF header', littleEndian: btf.littleEndian }).seek(3)
  const flags = reader.u8()
  if (flags !== 0) throw new BpfError('unsupported', `BTF header: flags 0x${flags.toString(16)}, expected 0`)
  const headerSize = reader.u32()
  const typeOffset = reader.u32()
  const typeLength = reader.u32()
  const stringOffset = reader.u32()
  const stringLength = reader.u32()
  for (let at = BTF_HEADER_SIZE; at < headerSize; at++) {
    if (bytes[at] !== 0) fail('unknown fields are not zero', at)
  }
  // No gaps, no overlaps, nothing behind.
  const total = bytes.length - headerSize
  if (typeOffset !== 0) fail(`types start at ${typeOffset}, expected 0`, 8)
  if (stringOffset !== typeLength) fail(`strings start at ${stringOffset}, types end at ${typeLength}`, 16)
  if (typeLength + stringLength !== total) fail(`sections have ${typeLength + stringLength} bytes of ${total}`, 20)
  if (btf.base === null && typeLength === 0) fail('there are no types', 12)
  if (stringLength > 0 && stringLength - 1 > BTF_MAX_NAME_OFFSET) {
    fail(`strings have ${stringLength} bytes, at most ${BTF_MAX_NAME_OFFSET + 1} are allowed`, 20)
  }
}

/** Type tags have to come before other modifiers, and chains of modifiers have to end. */
function checkTypeTags(context: CheckContext): void {
  const { btf } = context
  let good = 0
  for (let id = 1; id < btf.typeCount; id++) {
    if (!context.isModifier(id)) continue
    let left = MAX_MODIFIERS
    let inTags = context.kind(id) === BtfKind.TYPE_TAG
    for (let at = id; context.isModifier(at); at = btf.word(at, 2)) {
      if (left-- === 0) context.fail(id, `more than ${MAX_MODIFIERS} modifiers in a row, or a cycle`)
      if (context.kind(at) === BtfKind.TYPE_TAG) {
        if (!inTags) context.fail(id, 'a type tag follows another modifier')
      } else {
        inTags = false
      }
      if (at <= good) break
    }
    good = id
  }
}
