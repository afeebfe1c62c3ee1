// Shared by the oracles that compare with core-dump's JSON lines (see test/oracle/prepare/core-dump.c).
import { existsSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { gunzipSync } from 'node:zlib'
import { kernelMapName } from '../../../dist/loader/index.js'

/** LINUX_VERSION_CODE and the configuration of the running kernel, which libbpf used. */
export function kernelFacts() {
  const [major, minor, patch] = release().split(/[.-]/).map(Number)
  const file = [`/boot/config-${release()}`, '/proc/config.gz'].find((path) => existsSync(path))
  const bytes = file === undefined ? null : readFileSync(file)
  const text = bytes === null ? null : (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()
  const kernelVersion = (major << 16) + (minor << 8) + Math.min(patch, 255)
  // libbpf looks for the wrapper's symbol by a kprobe, which needs CONFIG_KPROBES.
  const syscallWrapper = existsSync('/sys/bus/event_source/devices/kprobe')
  return { text, kernelVersion, bpfCookie: true, syscallWrapper }
}

/** bpf_map__name(): data maps with a name of their own have the section's full name. */
function mapName(spec, map) {
  if (map.dataSection === null || map.dataSection === 'struct_ops') return map.name
  const isOwn = ['data', 'rodata'].includes(map.dataSection) && map.name !== `.${map.dataSection}`
  return isOwn ? map.name : kernelMapName(spec.name, map)
}

export function describeMap(spec, map, name = mapName(spec, map)) {
  const slots = [...map.slots].reduce((list, [slot, target]) => ((list[slot] = target), list), [])
  return {
    name,
    type: map.type,
    keySize: map.keySize,
    valueSize: map.dataSection === 'struct_ops' ? undefined : map.valueSize,
    // The loader normalises sizes of ring buffers when it creates them, libbpf when it opens the object.
    maxEntries: isRing(map.type) ? ringSize(map.maxEntries) : map.maxEntries,
    flags: map.flags,
    mapExtra: String(map.mapExtra),
    numaNode: map.numaNode ?? 0,
    key: map.keyTypeId,
    value: map.dataSection === 'struct_ops' ? 0 : map.valueTypeId,
    slots: slots.length === 0 ? undefined : Array.from(slots, (target) => target ?? null),
    inner: map.inner === null ? undefined : describeMap(spec, map.inner, map.inner.name),
  }
}

export function describeTheirMap(map) {
  const { name, type, keySize, valueSize, maxEntries, flags, mapExtra, numaNode, slots, inner } = map
  const isStructOps = type === 26
  return {
    name,
    type,
    keySize,
    valueSize: isStructOps ? undefined : valueSize,
    maxEntries,
    flags,
    mapExtra,
    numaNode,
    key: map.btfKeyTypeId,
    value: isStructOps ? 0 : map.btfValueTypeId,
    slots,
    inner: inner === undefined ? undefined : describeTheirMap(inner),
  }
}

function isRing(type) {
  return type === 27 || type === 31
}

function ringSize(size) {
  if (size === 0) return 0
  let pages = 1
  while (pages * 4096 < size) pages *= 2
  return pages * 4096
}

export function firstDifference(a, b) {
  let i = 0
  while (i < a.length && a[i] === b[i]) i++
  const from = Math.max(0, i - 60)
  return `…${a.slice(from, i + 80)}… is not …${b.slice(from, i + 80)}…`
}

/** What differs between a prepared program and libbpf's line about it, or null. */
export function programDifference(object, ours, line) {
  if (object.error !== undefined) return `object not opened: ${object.error.message}`
  if (ours === undefined) return 'there is no such program'
  if (!ours.ok) return ours.error.message
  const { program } = ours
  const { spec } = program
  if (spec.type !== line.type) return `type ${spec.type}, not ${line.type}`
  if (spec.section !== line.section) return `section ${spec.section}, not ${line.section}`
  if (spec.autoload !== line.autoload) return `autoload ${spec.autoload}, not ${line.autoload}`
  const insns = program.insns.slice()
  const refs = []
  for (const late of program.lateReferences) {
    const map = late.kind === 'map' || late.kind === 'mapValue' ? object.spec.maps[late.map] : undefined
    if (map !== undefined) {
      const kind = late.kind === 'map' ? 'map' : 'mapvalue'
      refs.push({ insn: late.insn, kind, name: mapName(object.spec, map), imm1: insns.imm[late.insn + 1] })
    } else if (late.kind === 'ksymBtf') {
      refs.push({ insn: late.insn, kind: 'btf', name: late.module ?? 'vmlinux', imm1: 0 })
    } else if (late.kind === 'ksymAddress') {
      const address = BigInt(object.externs.get(late.name)?.address ?? 0)
      insns.imm[late.insn] = Number(BigInt.asIntN(32, address))
      insns.imm[late.insn + 1] = Number(BigInt.asIntN(32, address >> 32n))
    }
  }
  const hex = Buffer.from(insns.toBytes()).toString('hex')
  if (hex !== line.insns) return insnDifference(hex, line.insns)
  const theirRefs = line.refs.map((ref) => (ref.kind === 'btf' ? { ...ref, imm1: 0 } : ref))
  refs.sort((a, b) => a.insn - b.insn)
  if (JSON.stringify(refs) !== JSON.stringify(theirRefs)) {
    return `references: ${firstDifference(JSON.stringify(refs), JSON.stringify(theirRefs))}`
  }
  const funcs = program.functions.every((fn) => fn.btfId === 0) ? [] : program.functions
  const funcHex = words(funcs.map((fn) => [fn.start, fn.btfId]))
  if (funcHex !== line.funcInfoHex) return `func_info: ${funcHex}, not ${line.funcInfoHex}`
  const lineHex = words(program.lines.map((l) => [l.insn, l.fileOffset, l.textOffset, (l.line << 10) | l.column]))
  if (lineHex !== line.lineInfoHex) return `line_info: ${firstDifference(lineHex, line.lineInfoHex)}`
  return null
}

function words(records) {
  return Buffer.from(Uint32Array.from(records.flat()).buffer).toString('hex')
}

function insnDifference(ours, theirs) {
  if (ours.length !== theirs.length) return `${ours.length / 16} slots, not ${theirs.length / 16}`
  for (let i = 0; i < ours.length; i += 16) {
    const [a, b] = [ours.slice(i, i + 16), theirs.slice(i, i + 16)]
    if (a !== b) return `slot ${i / 16}: ${a}, not ${b}`
  }
  return 'differs'
}
