import { expect, test } from 'vitest'
import { fromHex, isBpfError, toHex } from '../../src/bytes/index.ts'
import { load, openObject, type LoadedMap, type RunInput } from '../../src/loader/index.ts'
import { MapType } from '../../src/uapi/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { loadFixture, loadText } from '../support/fixture.ts'

/** Recorded by test/oracle/vm-vs-kernel-bless.mjs. */
interface Golden {
  readonly kernel: string
  readonly cpus: number
  readonly programs: readonly {
    readonly object: string
    readonly program: string
    readonly runs: readonly {
      readonly data?: string
      readonly ctx?: string
      readonly repeat?: number
      readonly result: Result
    }[]
    readonly maps: Readonly<Record<string, readonly string[]>>
  }[]
}
type Result = { retval: number; data: string | null; ctx: string | null } | { errno: string | undefined }

const golden = JSON.parse(await loadText('test/vm/golden/kernel-runs.json')) as Golden

function pathOf(object: string): string {
  return object === 'oracle/helpers' ? 'test/vm/golden/helpers.bpf.o' : `fixtures/${object}.bpf.o`
}

function run(work: () => { retval: number; data: Uint8Array | null; ctx: Uint8Array | null }): Result {
  try {
    const { retval, data, ctx } = work()
    return { retval, data: data === null ? null : toHex(data), ctx: ctx === null ? null : toHex(ctx) }
  } catch (error) {
    if (!isBpfError(error) || error.code !== 'syscall') throw error
    return { errno: error.errno }
  }
}

function contents({ raw }: LoadedMap): string[] {
  const entries: string[] = []
  if (raw.type === MapType.RINGBUF || raw.type === MapType.PERF_EVENT_ARRAY) {
    raw.drain((data) => entries.push(toHex(data)))
    return entries
  }
  if (raw.keySize === 0) {
    const top = raw.lookup(new Uint8Array(0))
    return top === null ? [] : [toHex(top)]
  }
  for (let key = raw.nextKey(null); key !== null; key = raw.nextKey(key)) {
    entries.push(`${toHex(key)}=${toHex(raw.lookup(key)!)}`)
  }
  return entries.sort()
}

const engines = [true, false].map((jit) => ({ engine: jit ? 'jit' : 'interpreter', jit }))

test.each(golden.programs.flatMap((recorded) => engines.map((engine) => ({ ...recorded, ...engine }))))(
  `$object: $program in the $engine, as Linux ${golden.kernel} runs it`,
  async ({ object, program, runs, maps, jit }) => {
    const spec = openObject(await loadFixture(pathOf(object)))
    spec.programs[program]!.autoload = true
    const loaded = await load(spec, createVm({ verify: false, cpus: golden.cpus, jit }), {})
    if (program !== 'fill_example') loaded.programs['fill_example']?.run({ data: new Uint8Array(64) })
    for (const { data, ctx, repeat, result } of runs) {
      const input: RunInput = {
        ...(data === undefined ? {} : { data: fromHex(data) }),
        ...(ctx === undefined ? {} : { ctx: fromHex(ctx) }),
        ...(repeat === undefined ? {} : { repeat }),
      }
      expect(
        run(() => loaded.programs[program]!.run(input)),
        JSON.stringify({ data, ctx }),
      ).toEqual(result)
    }
    for (const [name, expected] of Object.entries(maps)) expect(contents(loaded.maps[name]!), name).toEqual(expected)
    loaded.close()
  },
)
