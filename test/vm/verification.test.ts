import { describe, expect, test } from 'vitest'
import { load, openObject, type LoadOptions, type LoadReport } from '../../src/loader/index.ts'
import { createVm, type VmOptions } from '../../src/vm/index.ts'
import { loadFixture } from '../support/fixture.ts'

async function report(name: string, options: VmOptions = {}, how: LoadOptions = {}): Promise<LoadReport> {
  const vm = createVm(options)
  const loaded = await load(openObject(await loadFixture(`${name}.bpf.o`), { name }), vm, how)
  loaded.close()
  vm.close()
  return loaded.report
}

/** Fixtures that need no kernel's types, all of whose programs Linux takes. */
const PLAIN = [
  'alu_v4',
  'atomics',
  'checksum',
  'cross_section',
  'globals',
  'legacy_maps',
  'load_balancer',
  'map_in_map',
  'maps_all',
  'packet_counter',
  'printk',
  'socket_filter',
  'subprograms',
  'syscall_prog',
  'tail_calls',
  'tc_rewrite',
]

describe('the vm verifies what it loads', () => {
  test.each(PLAIN)('%s: what Linux takes is taken', { timeout: 60_000 }, async (name) => {
    const { programs } = await report(`fixtures/clang19/${name}`)
    expect(
      programs.filter(({ status }) => status !== 'loaded').map(({ name, error }) => [name, error?.message]),
    ).toEqual([])
  })

  test('what Linux refuses is refused, in its words, with the place in the source and the log', async () => {
    const { programs } = await report('test/vm/run/runs')
    const stops = programs.find(({ name }) => name === 'stops')
    expect(stops?.status).toBe('failed')
    expect(stops?.error).toMatchObject({ code: 'verifier', errno: 'EACCES' })
    expect(stops?.error?.message).toContain("(EACCES): R1 invalid mem access 'scalar'")
    expect(stops?.error?.where).toMatchObject({ program: 'stops', sourceLine: expect.stringContaining('runs.bpf.c') })
    expect(stops?.log).toMatch(/R1 invalid mem access 'scalar'\nprocessed \d+ insns/)
  })

  test('a log is given when it is asked for', async () => {
    const { programs } = await report('fixtures/clang19/globals', {}, { logLevel: 1 })
    expect(programs[0]?.log).toMatch(/processed \d+ insns/)
  })

  test('programs with kernel types need a kernel’s BTF, and say so', async () => {
    const { programs } = await report('fixtures/clang19/tracing')
    const failed = programs.find(({ name }) => name === 'on_switch')
    expect(failed?.error?.code).toBe('unsupported')
    expect(failed?.error?.message).toMatch(/give the vm the BTF of a kernel, or load it with verify: false/)
    expect(await report('fixtures/clang19/tracing', {}, { verify: false })).toMatchObject({
      programs: expect.arrayContaining([expect.objectContaining({ name: 'on_switch', status: 'loaded' })]),
    })
  })
})
