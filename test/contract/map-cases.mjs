// Cases of maps-vs-kernel: the creation of every map type with good and bad attributes, and sequences of operations on
// it, from user space and from programs. A case runs on any backend and gives a list of short strings, one a step, which
// must be the same in the kernel and in the vm: values, keys, counts, and the errno of what fails.
import { ASKED, MAP_SHAPES, NO_KEYS, ORDERED, SLOTS, SOCKETS } from './map-shapes.mjs'

/** Steps of one random sequence, and sequences for each shape of a map. */
const RANDOM_STEPS = 60
const RANDOM_SEQUENCES = 4
const ALL_FLAGS = Array.from({ length: 20 }, (_, bit) => 1 << bit)
const SIZES = [0, 1, 2, 4, 5, 8, 12, 16, 20, 24, 64, 260, 512, 513, 4096]
const ENTRIES = [0, 1, 2, 3, 4, 5, 100, 4095, 4096, 4097, 65536]
const EXTRAS = [1n, 15n, 16n, 1n << 32n]

/** Attributes that a creation test tries for one type. */
function* creations({ name, type, shape, inner }) {
  const one = (what, more) => ({
    name: `create ${name}: ${what}`,
    type,
    shape: { ...shape, ...more },
    inner,
    steps: [],
  })
  yield one('as it should be', {})
  for (const keySize of SIZES) yield one(`key size ${keySize}`, { keySize })
  for (const valueSize of SIZES) yield one(`value size ${valueSize}`, { valueSize })
  for (const maxEntries of ENTRIES) yield one(`${maxEntries} entries`, { maxEntries })
  for (const flag of ALL_FLAGS) {
    yield one(`flag 0x${flag.toString(16)}`, { flags: shape.flags | flag })
    yield one(`only flag 0x${flag.toString(16)}`, { flags: flag })
  }
  yield one('RDONLY and WRONLY', { flags: shape.flags | 0x18 })
  yield one('RDONLY_PROG and WRONLY_PROG', { flags: shape.flags | 0x180 })
  yield one('RDONLY_PROG and MMAPABLE', { flags: shape.flags | 0x480 })
  yield one('WRONLY_PROG and MMAPABLE', { flags: shape.flags | 0x500 })
  for (const mapExtra of EXTRAS) yield one(`map_extra ${mapExtra}`, { mapExtra })
  if (inner !== undefined) yield { ...one('no inner map', {}), inner: undefined }
  for (const keySize of [0, 4, 8]) {
    for (const valueSize of [0, 4, 8]) {
      for (const maxEntries of [0, 4, 4096]) {
        yield one(`${keySize}, ${valueSize}, ${maxEntries}`, { keySize, valueSize, maxEntries })
      }
    }
  }
}

const UPDATE_FLAGS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 0x80000000]
const LOOKUP_FLAGS = [0, 1, 2, 4, 5, 8]

/** Every operation with every flag, on an empty map, on a filled one and on a frozen one. */
function* matrix({ type, keys, values }) {
  const [first, second] = keys
  const probe = (key) => [
    ...LOOKUP_FLAGS.map((flags) => ['lookup', key, flags]),
    ['next', key],
    ...LOOKUP_FLAGS.map((flags) => ['take', key, flags]),
    ['delete', key],
  ]
  const updates = (key) => UPDATE_FLAGS.flatMap((flags) => values.map((value) => ['update', key, value, flags]))
  yield { name: 'empty', steps: [...keys.flatMap(probe), ['next', null], ['keys']] }
  yield { name: 'updates', steps: [...keys.flatMap((key) => [...updates(key), ['lookup', key, 0]]), ['keys']] }
  const fill = keys.map((key, i) => ['update', key, values[i % values.length], 0])
  yield { name: 'filled', steps: [...fill, ['keys'], ...keys.flatMap(probe), ['keys']] }
  yield { name: 'updated again', steps: [...fill, ...updates(second), ...updates(first), ['keys']] }
  yield {
    name: 'frozen',
    steps: [
      ...fill,
      ['freeze'],
      ['lookup', first, 0],
      ['next', null],
      ['update', first, values[0], 0],
      ['delete', first],
    ].concat([['take', first, 0], ['freeze'], ['batchUpdate', 1, 0], ['batchDelete', 1], ['batchTake', 8]]),
  }
  if (SLOTS.has(type)) {
    yield {
      name: 'slots',
      steps: keys
        .flatMap((key) =>
          ['map', 'otherMap', 'program', 'otherProgram'].flatMap((what) => [
            ['slot', key, what],
            ['lookup', key, 0],
            ['delete', key],
          ]),
        )
        .concat(
          keys.map((key) => ['slot', key, 'map']),
          [['keys'], ['next', null], ['batchLookup', 8], ['take', first, 0]],
        ),
    }
  }
  yield {
    name: 'batches',
    steps: [
      ['batchLookup', 4],
      ['batchTake', 4],
      ['batchDelete', 1],
      ['batchUpdate', 0, 0],
      ['batchUpdate', keys.length, 0],
      ['batchUpdate', keys.length, 1],
      ['batchUpdate', 2, 8],
      ['batchUpdate', 2, 4],
      ['keys'],
      ['batchLookup', 0],
      ['batchLookup', 64],
      ['batchLookupFlags', 64, 4],
      ['batchLookupFlags', 64, 1],
      ['batchDelete', 1],
      ['batchDelete', 1],
      ['batchTake', 64],
      ['keys'],
      ['batchUpdate', keys.length, 2],
    ],
  }
  const programSteps = keys.flatMap((key) => [
    ['run', 'lookup', key, values[0], 0],
    ...[0, 1, 2, 3, 4, 8].map((flags) => ['run', 'update', key, values[1], flags]),
    ['run', 'lookup', key, values[0], 0],
    ['run', 'bump', key, values[0], 0],
    ['lookup', key, 0],
    ['run', 'percpu', key, values[0], 0],
    ['run', 'percpu', key, values[0], 9999],
    ['run', 'delete', key, values[0], 0],
    ['run', 'delete', key, values[0], 0],
    ...[0, 1, 2, 3, 4].map((flags) => ['run', 'push', key, values[0], flags]),
    ['run', 'peek', key, values[1], 0],
    ['run', 'pop', key, values[1], 0],
    ...[0, 1, 2, 3, 4, 8, 9, 16, 24, 32].map((flags) => ['run', 'redirect', key, values[1], flags]),
  ])
  yield {
    name: 'by programs',
    steps: [...programSteps, ['keys'], ...fill, ...programSteps, ['keys']],
  }
  yield { name: 'by programs, frozen', steps: [...fill, ['freeze'], ...programSteps, ['keys']] }
}

/** xorshift32. */
function generator(seed) {
  let state = seed >>> 0 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

function randomSteps(shape, seed) {
  const next = generator(seed)
  const any = (list) => list[next(list.length)]
  const { keys, values } = shape
  const flags = () => (next(4) === 0 ? any(UPDATE_FLAGS) : any([0, 0, 0, 1, 2]))
  const step = () => {
    const key = any(keys)
    switch (next(14)) {
      case 0:
      case 1:
      case 2:
        return ['update', key, any(values), flags()]
      case 3:
        return ['lookup', key, next(8) === 0 ? any(LOOKUP_FLAGS) : 0]
      case 4:
        return ['delete', key]
      case 5:
        return ['take', key, 0]
      case 6:
        return ['keys']
      case 7:
        return ['batchUpdate', 1 + next(keys.length), flags()]
      case 8:
        return next(2) === 0 ? ['batchDelete', 1 + next(2)] : ['batchLookup', 64]
      case 9:
        return ['run', 'update', key, any(values), any([0, 0, 1, 2])]
      case 10:
        return ['run', any(['lookup', 'bump']), key, any(values), 0]
      case 11:
        return ['run', 'delete', key, any(values), 0]
      case 12:
        return ['run', 'push', key, any(values), any([0, 0, 2])]
      default:
        return ['run', any(['pop', 'peek', 'redirect']), key, any(values), 0]
    }
  }
  return [...Array.from({ length: RANDOM_STEPS }, step), ['keys']]
}

/** All cases, in a fixed order. */
export function* mapCases() {
  for (const shape of MAP_SHAPES) {
    if (shape.creations) yield* creations(shape)
    for (const { name, steps } of matrix(shape)) yield { ...shape, name: `${shape.name}: ${name}`, steps }
    for (let i = 0; i < RANDOM_SEQUENCES; i++) {
      yield {
        ...shape,
        name: `${shape.name}: random ${i}`,
        steps: randomSteps(shape, shape.type * 1000 + i * 7 + shape.name.length),
      }
    }
  }
}

const hex = (bytes) =>
  bytes === null ? 'none' : Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

export function fromHex(text) {
  return Uint8Array.from((text ?? '').match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
}

function descriptor(fd, size) {
  const bytes = new Uint8Array(size)
  if (size >= 4) new DataView(bytes.buffer).setInt32(0, fd, true)
  return bytes
}

function failureOf(error) {
  if (typeof error.code !== 'string') throw error
  return error.errno ?? error.code
}

/** What one step gives. `env` is what a backend offers: see MapEnvironment in map-cases.d.mts. */
function perform(env, subject, step) {
  const { map, keys, values } = subject
  const [op, ...args] = step
  /** Bytes in hexadecimal, or the descriptor of something that the backend made. */
  const bytesOf = (text, size = map.keySize) =>
    text?.startsWith('@') ? descriptor(env.descriptors[text.slice(1)], size) : fromHex(text)
  const key = () => (NO_KEYS.has(map.type) ? new Uint8Array(0) : bytesOf(args[0]))
  // Slots show the ids of maps and programs, which differ from one system to the next.
  const named = (value) => {
    if (value !== null && SOCKETS.has(map.type)) return 'a cookie'
    return value !== null && SLOTS.has(map.type) ? env.nameOf(subject, value) : hex(value)
  }
  const wide = (value) => {
    // Every CPU has the value, in steps of 8 bytes.
    if (map.valueCount === 1) return bytesOf(value, map.valueSize)
    const one = fromHex(value)
    const all = new Uint8Array(map.valueCount * Math.ceil(one.length / 8) * 8)
    for (let cpu = 0; cpu < map.valueCount; cpu++) all.set(one, cpu * Math.ceil(one.length / 8) * 8)
    return all
  }
  switch (op) {
    case 'lookup':
      return named(map.lookup(ASKED.has(map.type) ? bytesOf(args[0]) : key(), args[1]))
    case 'update':
      map.update(key(), wide(args[1]), args[2])
      return 'ok'
    case 'delete':
      return String(map.delete(key()))
    case 'take':
      return named(map.lookupAndDelete(key(), args[1]))
    case 'next': {
      const found = map.nextKey(args[0] === null ? null : key())
      // Which key of a hash comes next is the kernel's secret.
      if (!ORDERED.has(map.type)) return args[0] === null ? (found === null ? 'none' : 'a key') : 'any'
      return hex(found)
    }
    case 'keys': {
      const found = []
      for (let at = map.nextKey(null); at !== null && found.length < 200; at = map.nextKey(at)) found.push(hex(at))
      return (ORDERED.has(map.type) ? found : found.sort()).slice(0, 20).join(' ')
    }
    case 'freeze':
      map.freeze()
      return 'ok'
    case 'slot':
      map.setSlot(key(), env.target(args[1], subject))
      return 'ok'
    case 'batchUpdate': {
      const some = keys.slice(0, args[0])
      return `${map.updateBatch(join(some.map((each) => bytesOf(each))), join(some.map((_, i) => wide(values[i % values.length]))), args[1])}`
    }
    case 'batchDelete':
      return `${map.deleteBatch(join(keys.slice(0, args[0]).map((each) => bytesOf(each))))}`
    case 'batchLookup':
    case 'batchLookupFlags':
    case 'batchTake': {
      const batch = map.lookupBatch(null, args[0], { remove: op === 'batchTake', flags: args[1] ?? 0 })
      const found = []
      const size = batch.values.length / Math.max(1, batch.count)
      for (let i = 0; i < batch.count; i++) {
        const part = (bytes) =>
          hex(bytes.subarray((bytes.length / batch.count) * i, (bytes.length / batch.count) * (i + 1)))
        const value = batch.values.subarray(size * i, size * (i + 1))
        found.push(`${part(batch.keys)}=${named(value)}`)
      }
      if (!ORDERED.has(map.type)) found.sort()
      return `${batch.count} ${batch.cursor === null ? 'end' : 'more'} ${found.join(' ')}`
    }
    case 'run':
      return env.run(subject, args[0], bytesOf(args[1]), bytesOf(args[2], map.valueSize), args[3])
    default:
      throw new Error(`step ${op}`)
  }
}

function join(parts) {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/**
 * Runs a case: what the creation gave, then what each step gave. Steps that `reference` says were refused are left out:
 * programs that the kernel's verifier does not take must not change a map in the vm.
 */
export function runMapCase(env, { type, shape, inner, keys = [], values = [], lock = false, steps }, reference = []) {
  let subject
  const results = []
  try {
    subject = { map: env.create(type, shape, inner, lock), keys, values, inner }
    results.push(`${subject.map.maxEntries} ${subject.map.keySize} ${subject.map.valueSize}`)
  } catch (error) {
    return [failureOf(error)]
  }
  try {
    for (const step of steps) {
      if (reference[results.length] === 'refused') {
        results.push('refused')
        continue
      }
      try {
        results.push(perform(env, subject, step))
      } catch (error) {
        results.push(failureOf(error))
      }
    }
  } finally {
    env.done(subject)
    subject.map.close()
  }
  return results
}

/** Results as one line of text, with those that repeat counted. */
export function packed(results) {
  const parts = []
  for (let i = 0; i < results.length;) {
    let end = i + 1
    while (results[end] === results[i]) end++
    parts.push(end - i === 1 ? results[i] : `${results[i]} *${end - i}`)
    i = end
  }
  return parts.join('; ')
}

/** The opposite of packed(). */
export function unpacked(text) {
  return text.split('; ').flatMap((part) => {
    const [, result, times] = /^(.*?)(?: \*(\d+))?$/s.exec(part)
    return Array(Number(times ?? 1)).fill(result)
  })
}

/** Whether the tests compare a case with what the kernel was recorded to do; the rest is the oracle's. */
export function isRecorded({ name }) {
  return !/: random \d/.test(name) && !/: (\d+, ){2}|0x|\d+ entries/.test(name.replace(/^create [^:]*/, ''))
}
