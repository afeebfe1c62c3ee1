// What user space and programs may do with instruction arrays, as outcomes that kernel and vm must share.

const INSN_ARRAY = 34
const XDP = 6
const NO_PREALLOC = 1
const RDONLY = 8
const NOEXIST = 1
const EXIST = 2
const LOCK = 4

const u32 = (...words) => new Uint8Array(Uint32Array.from(words).buffer)
const words = (bytes) => (bytes === null ? null : [...new Uint32Array(bytes.slice().buffer)])

const SPEC = {
  name: 'table',
  type: INSN_ARRAY,
  keySize: 4,
  valueSize: 16,
  maxEntries: 3,
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
}

// A switch over the first byte, with the table's load in slot 9 and cases in slots 14, 16 and 18.
const SWITCH = `
  r0 = 0
  r2 = *(u32 *)(r1 + 4)
  r1 = *(u32 *)(r1 + 0)
  r3 = r1
  r3 += 1
  if r3 > r2 goto out
  r1 = *(u8 *)(r1 + 0)
  if r1 > 2 goto out
  r1 <<= 3
  r2 = 0 ll
  r2 += r1
  r2 = *(u64 *)(r2 + 0)
  gotox r2
  r0 = 10
  exit
  r0 = 11
  exit
  r0 = 12
out:
  exit`
const CASES = [14, 16, 18]

/**
 * @param backend that knows instruction arrays
 * @param assemble of elfbee/isa
 * @returns {Record<string, unknown>} by name: a value, or the errno as a string
 */
export function insnArrayOutcomes(backend, assemble) {
  const outcomes = {}
  const open = []
  const attempt = (name, work) => {
    try {
      const value = work()
      outcomes[name] = value === undefined ? 'ok' : value
    } catch (error) {
      outcomes[name] = error.errno ?? error.code
    }
  }
  const make = (change = {}) => {
    const map = backend.createMap({ spec: { ...SPEC, ...change }, kernelName: 'table', btf: null, inner: null })
    open.push(map)
    return map
  }
  const filled = (slots, freeze = true) => {
    const map = make({ maxEntries: slots.length })
    slots.forEach((slot, i) => map.update(u32(i), u32(slot, 0, 0, 0)))
    if (freeze) map.freeze()
    return map
  }
  const load = (map, { offset = 0, text = SWITCH, at = 9 } = {}) => {
    const insns = assemble(text)
    insns.src[at] = 2
    insns.imm[at + 1] = offset
    const program = backend.loadProgram({
      program: {
        spec: {
          name: 'choose',
          section: 'xdp',
          functionIndex: 0,
          type: XDP,
          attachType: null,
          flags: 0,
          attachTarget: null,
          autoload: true,
        },
        insns,
        functions: [{ name: 'choose', start: 0, btfId: 0 }],
        lateReferences: [{ kind: 'mapValue', insn: at, map: 'table', offset }],
        lines: [],
        core: [],
      },
      license: 'GPL',
      version: 0,
      btf: null,
      maps: new Map([['table', map]]),
      bindMaps: [],
      logLevel: 0,
    })
    open.push(program)
    return program
  }
  const choices = (program) => [0, 1, 2, 3].map((byte) => program.run({ data: new Uint8Array(64).fill(byte) }).retval)

  const shapes = {
    'a key of 8 bytes': { keySize: 8 },
    'no key': { keySize: 0 },
    'a value of 8 bytes': { valueSize: 8 },
    'a value of 24 bytes': { valueSize: 24 },
    'no entries': { maxEntries: 0 },
    'many entries': { maxEntries: 100_000 },
    BPF_F_NO_PREALLOC: { flags: NO_PREALLOC },
    BPF_F_RDONLY: { flags: RDONLY },
    map_extra: { mapExtra: 1n },
    'its shape': {},
  }
  for (const [name, shape] of Object.entries(shapes)) attempt(`create with ${name}`, () => void make(shape))

  if (outcomes['create with its shape'] !== 'ok') return outcomes

  const map = make()
  attempt('lookup of what was never set', () => words(map.lookup(u32(1))))
  attempt('lookup beyond the end', () => words(map.lookup(u32(3))))
  attempt('lookup with BPF_F_LOCK', () => words(map.lookup(u32(1), LOCK)))
  attempt('update', () => map.update(u32(0), u32(7, 0, 0, 0)))
  attempt('lookup of what was set', () => words(map.lookup(u32(0))))
  attempt('update with BPF_EXIST', () => map.update(u32(1), u32(8, 0, 0, 0), EXIST))
  attempt('update with BPF_NOEXIST', () => map.update(u32(1), u32(8, 0, 0, 0), NOEXIST))
  attempt('update with BPF_F_LOCK', () => map.update(u32(1), u32(8, 0, 0, 0), LOCK))
  attempt('update with flag 8', () => map.update(u32(1), u32(9, 0, 0, 0), 8))
  attempt('update beyond the end', () => map.update(u32(3), u32(8, 0, 0, 0)))
  attempt('update beyond the end with BPF_NOEXIST', () => map.update(u32(3), u32(8, 0, 0, 0), NOEXIST))
  attempt('update with xlated_off', () => map.update(u32(2), u32(8, 1, 0, 0)))
  attempt('update with jitted_off', () => map.update(u32(2), u32(8, 0, 1, 0)))
  attempt('update with padding', () => map.update(u32(2), u32(8, 0, 0, 1)))
  attempt('lookup after it', () => words(map.lookup(u32(2))))
  attempt('delete', () => map.delete(u32(0)))
  attempt('lookup and delete', () => words(map.lookupAndDelete(u32(0))))
  attempt('first key', () => words(map.nextKey(null)))
  attempt('key after the last', () => words(map.nextKey(u32(2))))
  attempt('key after one beyond', () => words(map.nextKey(u32(20))))
  attempt('lookup batch', () => map.lookupBatch(null, 3).count)
  attempt('update batch', () => map.updateBatch(u32(0), u32(1, 0, 0, 0)))
  attempt('freeze', () => map.freeze())
  attempt('freeze again', () => map.freeze())
  attempt('update of a frozen one', () => map.update(u32(0), u32(7, 0, 0, 0)))

  attempt('program with an array that is not frozen', () => void load(filled(CASES, false)))
  attempt('program with a slot beyond its end', () => void load(filled([14, 16, 200])))
  attempt('program with the second half of an immediate', () => void load(filled([14, 16, 10])))
  attempt('program with an offset of 4', () => void load(filled(CASES), { offset: 4 }))
  attempt('program with an offset beyond', () => void load(filled(CASES), { offset: 24 }))
  const table = filled(CASES)
  attempt('program', () => choices(load(table)))
  attempt('places as loaded and as run', () => [0, 1, 2].map((i) => words(table.lookup(u32(i))).slice(0, 2)))
  attempt('places in code, in order', () => {
    const [a, b, c] = [0, 1, 2].map((i) => words(table.lookup(u32(i)))[2])
    return a > 0 && a < b && b < c
  })
  attempt('another program with its array', () => void load(table))
  attempt('another one, again', () => void load(table))
  const again = filled(CASES)
  attempt(
    'program that is refused',
    () => void load(again, { text: SWITCH.replace('*(u32 *)(r1 + 4)', '*(u32 *)(r9 + 4)') }),
  )
  attempt('program with the array of an offset', () => choices(load(filled([0, ...CASES]), { offset: 8 })))
  for (const each of open) each.close()
  return outcomes
}
