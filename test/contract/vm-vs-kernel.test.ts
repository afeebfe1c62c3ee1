import { afterAll, describe, expect, test } from 'vitest'
import { load, openObject, type Backend, type LoadedObject, type RunInput } from '../../src/loader/index.ts'
import { openKernelBackend } from '../../src/kernel/index.ts'
import { isBpfError, toHex } from '../../src/bytes/index.ts'
import { MapType, ProgType } from '../../src/uapi/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { generator, packet, skbContext, xdpContext, type Generator } from '../oracle/vm-inputs.mjs'
import { loadFixture } from '../support/fixture.ts'
import { kernelTestsRun } from '../support/kernel.ts'

const run = await kernelTestsRun()
/** `npm run oracle` compares more programs on more inputs. */
const INPUTS = 40

function input(r: Generator, type: number): RunInput {
  const data = packet(r)
  if (!r.chance(30)) return { data }
  return { data, ctx: type === ProgType.XDP ? xdpContext(r, data) : skbContext(r, data) }
}

function outcome(loaded: LoadedObject, program: string, given: RunInput): string {
  try {
    const { retval, data, ctx } = loaded.programs[program]!.run(given)
    return `${retval} ${data === null ? '' : toHex(data)} ${ctx === null ? '' : toHex(ctx)}`
  } catch (error) {
    if (!isBpfError(error)) throw error
    return error.errno ?? error.message
  }
}

/** Contents of all maps; those of ring buffers are taken out. */
function contents(loaded: LoadedObject): Record<string, string[]> {
  const all: Record<string, string[]> = {}
  for (const [name, { raw }] of Object.entries(loaded.maps)) {
    const entries: string[] = []
    if (raw.type === MapType.RINGBUF || raw.type === MapType.PERF_EVENT_ARRAY)
      raw.drain((data) => entries.push(toHex(data)))
    else if (raw.type !== MapType.PROG_ARRAY && raw.type !== MapType.PERCPU_ARRAY && raw.valueCount === 1) {
      for (let key = raw.nextKey(null); key !== null; key = raw.nextKey(key)) {
        entries.push(`${toHex(key)}=${toHex(raw.lookup(key) ?? new Uint8Array())}`)
      }
      entries.sort()
    }
    all[name] = entries
  }
  return all
}

describe.runIf(run)('the vm does what the kernel does', () => {
  if (!run) return
  const kernel = openKernelBackend()
  afterAll(() => kernel.close())

  test.each([
    ['packet_counter', 'count_packets'],
    ['load_balancer', 'balance'],
    ['tail_calls', 'entry'],
    ['tail_calls', 'spin_start'],
    ['subprograms', 'calls'],
    ['subprograms', 'for_each'],
    ['maps_all', 'use_hash'],
    ['maps_all', 'use_lpm'],
    ['maps_all', 'use_ring'],
    ['atomics', 'on_map'],
    ['alu_v4', 'arithmetic'],
    ['checksum', 'fill_checksums'],
    ['tc_rewrite', 'rewrite'],
    ['tc_rewrite', 'context'],
    ['socket_filter', 'legacy_loads'],
  ])('%s: %s', async (object, program) => {
    const bytes = await loadFixture(`fixtures/clang19/${object}.bpf.o`)
    const backends: Backend[] = [
      kernel,
      createVm({ verify: false, cpus: kernel.cpus }),
      createVm({ verify: false, cpus: kernel.cpus, jit: false }),
    ]
    const loaded = await Promise.all(backends.map((backend) => load(openObject(bytes), backend, {})))
    try {
      if (object === 'load_balancer') {
        for (const each of loaded) each.programs['fill_example']!.run({ data: new Uint8Array(64) })
      }
      // Opens perf buffers, which the kernel does on first use.
      loaded.map(contents)
      const r = generator(program.length)
      for (let i = 0; i < INPUTS; i++) {
        const given = input(r, loaded[0]!.programs[program]!.spec.type)
        const [expected, ...others] = loaded.map((each) => outcome(each, program, given))
        expect(others, `input ${i}: ${toHex(given.data!)}`).toEqual([expected, expected])
      }
      const [expected, ...others] = loaded.map(contents)
      expect(others).toEqual([expected, expected])
    } finally {
      for (const each of loaded) each.close()
    }
  })
})
