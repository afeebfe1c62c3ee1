// What the cases of maps-vs-kernel need of a backend. Imports nothing of elfbee, since tests have it from src and scripts
// from dist: `elfbee` brings { assemble, bareProgram, mapSpec }.

const XDP = 6
const SOCKET_FILTER = 1
const HASH = 1
const ARRAY = 2
/** Operations whose argument is in the program. */
const TAKE_ARGUMENT = new Set(['update', 'push', 'percpu', 'redirect'])
const LOCKS = 'locks'
/** Where a packet has the key and the value of an operation; programs copy 32 bytes of each. */
const KEY = 16
const VALUE = 48
const PACKET_SIZE = 96
/** What a program's lookup gives for no value. */
const NOTHING = 'r0 = -1'

const LOOKED_UP = ['if r0 != 0 goto found', NOTHING, 'exit', 'found:']
const FIRST_BYTE = 'r0 = *(u8 *)(r0 + 0)'
const POPPED = ['if r0 != 0 goto end', 'r0 = *(u32 *)(r10 - 32)', 'end:']

/** Programs that do one operation, the map being map[id:0], key at r10 - 64, value at r10 - 32. */
const OPERATIONS = {
  lookup: () => ['call bpf_map_lookup_elem', ...LOOKED_UP, FIRST_BYTE],
  bump: () => [
    'call bpf_map_lookup_elem',
    ...LOOKED_UP,
    'r1 = *(u8 *)(r0 + 0)',
    'r1 += 1',
    '*(u8 *)(r0 + 0) = r1',
    'r0 = r1',
  ],
  percpu: (cpu) => [`r3 = ${cpu}`, 'call bpf_map_lookup_percpu_elem', ...LOOKED_UP, FIRST_BYTE],
  update: (flags) => ['r3 = r10', 'r3 += -32', `r4 = ${flags}`, 'call bpf_map_update_elem'],
  delete: () => ['call bpf_map_delete_elem'],
  push: (flags) => ['r2 = r10', 'r2 += -32', `r3 = ${flags}`, 'call bpf_map_push_elem'],
  pop: () => ['r2 = r10', 'r2 += -32', 'call bpf_map_pop_elem', ...POPPED],
  peek: () => ['r2 = r10', 'r2 += -32', 'call bpf_map_peek_elem', ...POPPED],
  redirect: (flags) => ['r2 = *(u32 *)(r10 - 64)', `r3 = ${flags}`, 'call bpf_redirect_map'],
}

function textOf(operation, argument) {
  const copies = []
  for (let at = 0; at < 64; at += 8) copies.push(`r0 = *(u64 *)(r6 + ${KEY + at})`, `*(u64 *)(r10 - ${64 - at}) = r0`)
  return [
    'r6 = *(u32 *)(r1 + 0)',
    'r7 = *(u32 *)(r1 + 4)',
    'r8 = r6',
    `r8 += ${PACKET_SIZE}`,
    'if r8 > r7 goto short',
    ...copies,
    'r1 = map[id:0]',
    'r2 = r10',
    'r2 += -64',
    ...OPERATIONS[operation](argument),
    'exit',
    'short:',
    'r0 = -2',
    'exit',
  ].join('\n')
}

/** A program from text, to be loaded. */
function prepare(elfbee, name, type, text) {
  const insns = elfbee.assemble(text)
  const lateReferences = []
  for (let insn = 0; insn < insns.length; insn++) {
    if (insns.code[insn] !== 0x18) continue
    lateReferences.push({ kind: 'map', insn, map: 'map' })
    insns.imm[insn] = 0
    insn++
  }
  return elfbee.bareProgram(insns, { name, type }, { lateReferences })
}

/** Virtual sockets and the like for the cases, by name. */
export function vmDescriptors(vm) {
  const loopback = (port) => ({ address: [127, 0, 0, 1], port })
  return {
    tcp: vm.socket({ protocol: 'tcp', local: loopback(1000), remote: loopback(2000) }).fd,
    udp: vm.socket({ protocol: 'udp', state: 'close', local: loopback(1000) }).fd,
    listener: vm.socket({ protocol: 'tcp', state: 'listen', local: loopback(80) }).fd,
    unix: vm.socket({ protocol: 'unix' }).fd,
    cgroup: vm.cgroup().fd,
    file: vm.file({ path: '/etc/hostname' }).fd,
  }
}

/** A backend for runMapCase(). `locked` is an object with a map called "locks", whose values have a bpf_spin_lock. */
export function mapEnvironment(elfbee, backend, locked, descriptors) {
  const lockSpec = locked.maps[LOCKS]
  const load = (program, maps) =>
    backend.loadProgram({ program, license: 'GPL', version: 0, btf: null, maps, bindMaps: [], logLevel: 0 })

  function create(type, shape, inner, lock) {
    const template = inner === undefined ? null : create(inner.type, inner.shape, inner.inner, false)
    try {
      const types = lock ? { keyTypeId: lockSpec.keyTypeId, valueTypeId: lockSpec.valueTypeId } : {}
      const spec = elfbee.mapSpec({ name: 'test_map', type, ...shape, ...types })
      return backend.createMap({
        spec,
        kernelName: spec.name,
        btf: lock ? locked.btf : null,
        inner: template,
      })
    } finally {
      template?.close()
    }
  }

  function program(subject, operation, argument) {
    const name = TAKE_ARGUMENT.has(operation) ? `${operation} ${argument}` : operation
    subject.programs ??= new Map()
    if (!subject.programs.has(name)) {
      const prepared = prepare(elfbee, operation, XDP, textOf(operation, argument))
      let made
      try {
        made = load(prepared, new Map([['map', subject.map]]))
      } catch (error) {
        if (typeof error.code !== 'string') throw error
        made = null
      }
      subject.programs.set(name, made)
    }
    return subject.programs.get(name)
  }

  /** What slots are tried with: a map like the inner one, another, a program, and one of another type. */
  const targets = {
    map: ({ inner }) =>
      inner === undefined
        ? create(ARRAY, { keySize: 4, valueSize: 4, maxEntries: 2, flags: 0 })
        : create(inner.type, inner.shape, inner.inner, false),
    otherMap: () => create(HASH, { keySize: 8, valueSize: 4, maxEntries: 7, flags: 0 }),
    program: () => load(prepare(elfbee, 'program', XDP, 'r0 = 1\nexit'), new Map()),
    otherProgram: () => load(prepare(elfbee, 'other', SOCKET_FILTER, 'r0 = 1\nexit'), new Map()),
  }

  return {
    create,
    descriptors,
    /** 'refused' when the program does not load, which vms that do not verify cannot know. */
    run(subject, operation, key, value, argument) {
      if (OPERATIONS[operation] === undefined) return 'refused'
      const loaded = program(subject, operation, argument)
      if (loaded === null) return 'refused'
      const data = new Uint8Array(PACKET_SIZE)
      data.set(key.subarray(0, 32), KEY)
      data.set(value.subarray(0, 32), VALUE)
      return String(loaded.run({ data }).retval | 0)
    },
    target(what, subject) {
      subject.targets ??= new Map()
      if (!subject.targets.has(what)) subject.targets.set(what, targets[what](subject))
      return subject.targets.get(what)
    },
    nameOf(subject, value) {
      const id = new DataView(value.buffer, value.byteOffset).getUint32(0, true)
      for (const [name, target] of subject.targets ?? []) if (target.id === id) return `the id of ${name}`
      return `id ${id}`
    },
    done(subject) {
      for (const loaded of subject.programs?.values() ?? []) loaded?.close()
      for (const target of subject.targets?.values() ?? []) target.close()
    },
  }
}
