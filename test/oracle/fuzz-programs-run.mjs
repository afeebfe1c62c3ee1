// Shared by fuzz-programs.mjs, isa-vs-kernel.mjs and their tests: programs from text, in a backend with a fixed set of
// maps. Imports nothing of elfbee, since tests have it from src and scripts from dist.
import { MAPS, TYPES } from './fuzz-programs-generate.mjs'

/** A prepared program from assembled text; map[id:N] is MAPS[N]. */
export function prepareInsns(type, insns) {
  const lateReferences = []
  for (let insn = 0; insn < insns.length; insn++) {
    if (insns.code[insn] !== 0x18) continue
    const pseudo = insns.src[insn]
    if (pseudo === 1) lateReferences.push({ kind: 'map', insn, map: MAPS[insns.imm[insn]].name })
    if (pseudo === 2) {
      lateReferences.push({ kind: 'mapValue', insn, map: MAPS[insns.imm[insn]].name, offset: insns.imm[insn + 1] })
    }
    if (pseudo !== 0) insns.imm[insn] = 0
    insn++
  }
  const starts = new Set([0])
  for (let at = 0; at < insns.length; at++) {
    if (insns.code[at] === 0x18) at++
    else if (insns.code[at] === 0x85 && insns.src[at] === 1) starts.add(at + 1 + insns.imm[at])
  }
  const functions = [...starts].sort((a, b) => a - b).map((start) => ({ name: `f${start}`, start, btfId: 0 }))
  const spec = {
    name: 'fuzz',
    section: type,
    functionIndex: 0,
    type: TYPES[type],
    attachType: null,
    flags: type === 'syscall' ? 16 : 0,
    attachTarget: null,
    autoload: true,
  }
  return { spec, insns, functions, lateReferences, lines: [], core: [] }
}

/** A backend with the maps that programs refer to. */
export class Side {
  constructor(name, backend) {
    this.name = name
    this.backend = backend
    this.maps = new Map(
      MAPS.map((map) => [
        map.name,
        backend.createMap({ spec: mapSpec(map), kernelName: map.name, btf: null, inner: null }),
      ]),
    )
  }

  /** Maps as they are before the first run of a program. */
  reset() {
    for (const { name, type, valueSize, maxEntries } of MAPS) {
      const map = this.maps.get(name)
      if (type === 2 || type === 6) {
        for (let i = 0; i < maxEntries; i++) {
          map.update(u32(i), new Uint8Array(valueSize * map.valueCount).fill(type === 6 ? 0 : i * 17))
        }
        continue
      }
      for (let key = map.nextKey(null); key !== null; key = map.nextKey(null)) map.delete(key)
      if (name === 'hash') for (let i = 0; i < 4; i++) map.update(u32(i * 3), new Uint8Array(16).fill(i + 1))
    }
  }

  /** Contents of all maps, as text. */
  contents() {
    return MAPS.map(({ name }) => {
      const map = this.maps.get(name)
      const entries = []
      for (let key = map.nextKey(null); key !== null; key = map.nextKey(key)) {
        entries.push(`${hex(key)}=${written(map.lookup(key) ?? new Uint8Array(0), map.valueCount)}`)
      }
      return `${name}: ${entries.sort().join(' ')}`
    }).join('\n')
  }

  load(prepared) {
    return this.backend.loadProgram({
      program: prepared,
      license: 'GPL',
      version: 0,
      btf: null,
      maps: this.maps,
      bindMaps: [],
      logLevel: 0,
    })
  }

  close() {
    for (const map of this.maps.values()) map.close()
  }
}

/** What a run gives, as text. */
export function outcome(program, input) {
  try {
    const { retval, data, ctx } = program.run(input)
    return `${retval} ${data === null ? '' : hex(data)} ${ctx === null ? '' : hex(ctx)}`
  } catch (error) {
    // A BpfError, not a RangeError or the like.
    if (typeof error.code !== 'string' || error.code.startsWith('ERR_')) throw error
    return error.code === 'syscall' ? `${error.errno}` : `${error.code}: ${error.message}`
  }
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Also in browsers, where there is no Buffer. */
export function hex(bytes) {
  return Array.from(bytes, (byte) => HEX[byte]).join('')
}

/** A value as text; of a per-CPU value the parts of CPUs that a program ran on, whichever these were. */
function written(value, cpus) {
  if (cpus === 1) return hex(value)
  const size = value.length / cpus
  const parts = Array.from({ length: cpus }, (_, cpu) => hex(value.subarray(cpu * size, (cpu + 1) * size)))
  return parts.filter((part) => /[1-9a-f]/.test(part)).join('|')
}

function u32(value) {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

export function mapSpec(map) {
  return {
    flags: 0,
    numaNode: null,
    mapExtra: 0n,
    pinning: 'none',
    autocreate: true,
    keyTypeId: 0,
    valueTypeId: 0,
    inner: null,
    slots: new Map(),
    contents: null,
    dataSection: null,
    frozen: false,
    ...map,
  }
}
