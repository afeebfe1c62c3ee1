import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Btf, dumpRaw } from '../../src/btf/index.ts'
import { openObject, type LoadedObject, type ObjectSpec } from '../../src/loader/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { builtCli, cli, expectGolden, repositoryPath } from './support.ts'

const hasKernel = await kernelTestsRun()
const FIXTURES = readdirSync(repositoryPath('fixtures/clang19'))
  .filter((name) => name.endsWith('.bpf.o'))
  .map((name) => name.slice(0, -'.bpf.o'.length))
const fixture = (name: string): string => repositoryPath(`fixtures/clang19/${name}.bpf.o`)

let directory: string
/** What generated modules import: the package as it is built. */
let elfbee: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'elfbee-gen-'))
  elfbee = relative(directory, join(builtCli(), '../../index.js'))
}, 120_000)
afterAll(() => rmSync(directory, { recursive: true }))

/** A program that uses a skeleton, with what must not compile marked. */
const USE = `
import { openPacketCounter, type Counter } from './packet_counter.ts'
import { eventTypeId, loadExecsnoop, type Event } from './execsnoop.ts'
import { loadMapsAll } from './maps_all.ts'
import { loadGlobals } from './globals.ts'

export async function use(): Promise<unknown[]> {
  const spec = await openPacketCounter()
  spec.variables.blocked_port.set(53)
  // @ts-expect-error a port is no text
  const wrongPort = (): void => spec.variables.blocked_port.set('53')
  const live = await spec.load({ backend: 'vm', strict: true })
  const run = live.programs.count_packets.run({ data: new Uint8Array(64) })
  const counter: Counter | undefined = live.maps.protocols.get(0)
  live.maps.flows.set({ saddr: '10.0.0.1', dport: 53 }, { packets: 2n })
  // @ts-expect-error no such member
  const wrongMember = (): void => live.maps.flows.set({ nothing: 1 }, {})
  // @ts-expect-error constants cannot be set after load()
  const wrongSet = (): void => live.variables.blocked_port.set(1)
  // @ts-expect-error no such map
  const wrongMap = (): unknown => live.maps.nothing
  const flows = [...live.maps.flows].map(([flow, { packets }]) => [flow.saddr.join('.'), flow.dport, packets])
  const port: number = live.variables.blocked_port.get()
  live.close()
  const maps = await loadMapsAll({ backend: 'vm' })
  maps.maps.percpu_array.set(0, 5)
  const perCpu: bigint[] | undefined = maps.maps.percpu_array.get(0)
  maps.close()
  const globals = await loadGlobals({ backend: 'vm' })
  globals.variables.current.set({ low: 1, high: 2 })
  const { low, high, step } = globals.variables.current.get()
  globals.close()
  const exec = await loadExecsnoop({ backend: 'vm', strict: false })
  const events: Event[] = exec.maps.events.drain({ typeId: eventTypeId })
  exec.close()
  void [wrongPort, wrongMember, wrongSet, wrongMap]
  return [run.verdict, counter?.packets, flows, port, new Set(perCpu).size, perCpu?.[0], [low, high, step], events]
}
`

/** What tsc is asked of generated modules: everything that is strict. */
const TSCONFIG = {
  compilerOptions: {
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    verbatimModuleSyntax: true,
    isolatedDeclarations: true,
    declaration: true,
    erasableSyntaxOnly: true,
    noUnusedLocals: true,
    noUnusedParameters: true,
    rewriteRelativeImportExtensions: true,
    target: 'es2023',
    lib: ['es2023', 'esnext.disposable', 'dom'],
    module: 'nodenext',
    types: [],
    skipLibCheck: false,
    outDir: 'out',
  },
  include: ['*.ts'],
}

interface Skeleton {
  readonly [name: string]: (options?: object) => Promise<ObjectSpec>
}

/** Names and outcomes of what was loaded. */
function outcome(live: LoadedObject): unknown {
  const { programs, maps } = live.report
  const names = [Object.keys(live.programs), Object.keys(live.maps), Object.keys(live.variables)]
  return {
    names,
    programs: programs.map(({ name, status }) => [name, status]),
    maps: maps.map((m) => [m.name, m.status]),
  }
}

describe('gen skeleton', () => {
  beforeAll(async () => {
    for (const [i, name] of FIXTURES.entries()) {
      const file = join(directory, `${name}.ts`)
      const how = i % 2 === 0 ? ['--embed'] : []
      const more = name === 'execsnoop' ? ['type', 'event'] : []
      copyFileSync(fixture(name), join(directory, `${name}.bpf.o`))
      const object = join(directory, `${name}.bpf.o`)
      const made = await cli(['gen', 'skeleton', object, ...more, ...how, '--import', `./${elfbee}`, '-o', file])
      expect(made).toEqual({ code: 0, stdout: '', stderr: '' })
    }
    writeFileSync(join(directory, 'use.ts'), USE)
    writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(TSCONFIG))
    const tsc = repositoryPath('node_modules/typescript/bin/tsc')
    const checked = spawnSync(process.execPath, [tsc, '-p', directory], { encoding: 'utf8' })
    expect(checked.stdout).toBe('')
    for (const name of FIXTURES) copyFileSync(fixture(name), join(directory, 'out', `${name}.bpf.o`))
    // The compiled modules are one directory further from the package.
    for (const file of readdirSync(join(directory, 'out')).filter((name) => name.endsWith('.js'))) {
      const path = join(directory, 'out', file)
      writeFileSync(path, readFileSync(path, 'utf8').replace(`'./${elfbee}'`, `'./../${elfbee}'`))
    }
  }, 240_000)

  it('prints a module for people to read', async () => {
    for (const name of ['packet_counter', 'maps_all', 'map_in_map']) {
      const { code, stdout } = await cli(['gen', 'skeleton', repositoryPath(`fixtures/clang19/${name}.bpf.o`)])
      expect(code).toBe(0)
      expectGolden(`gen-skeleton-${name}.txt`, stdout.replace(repositoryPath(''), ''))
    }
  })

  it('makes modules by which programs, maps and variables are used', () => {
    const script = `
      const { use } = await import(${JSON.stringify(pathToFileURL(join(directory, 'out/use.js')).href)})
      console.log(JSON.stringify(await use(), (_, value) => (typeof value === 'bigint' ? String(value) : value)))`
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    expect(JSON.parse(printed)).toEqual(['XDP_PASS', '1', [['10.0.0.1', 53, '2']], 53, 1, '5', [1, 2, '0'], []])
  })

  for (const backend of ['vm', 'kernel'] as const) {
    it.runIf(backend === 'vm' || hasKernel)(
      `loads each fixture in the ${backend} as the object itself`,
      async () => {
        for (const name of FIXTURES) {
          const url = pathToFileURL(join(directory, `out/${name}.js`)).href
          const module = (await import(/* @vite-ignore */ url)) as Skeleton
          const open = Object.keys(module).find((key) => key.startsWith('open')) ?? ''
          const spec = await module[open]?.()
          const plain = await (await import('../../src/index.ts')).open(fixture(name))
          using expected = await plain.load({ backend })
          const live = await spec?.load({ backend, strict: false })
          if (live === undefined) throw new Error(`${name} has no open function`)
          expect(outcome(live), name).toEqual(outcome(expected))
          live.close()
        }
      },
      120_000,
    )
  }

  it('names a type that the object does not have', async () => {
    const { code, stderr } = await cli(['gen', 'skeleton', fixture('globals'), 'type', 'nothing'])
    expect([code, stderr.includes("the object has no type 'nothing'")]).toEqual([1, true])
  })
})

describe('gen object', () => {
  it('writes an object that has what its inputs have', async () => {
    const output = join(directory, 'linked.o')
    const made = await cli(['gen', 'object', output, fixture('packet_counter'), fixture('globals')])
    expect(made).toEqual({ code: 0, stdout: '', stderr: '' })
    const bytes = new Uint8Array(readFileSync(output))
    const spec = openObject(bytes, { name: output })
    expect(Object.keys(spec.programs)).toEqual(expect.arrayContaining(['count_packets', 'update', 'digest', 'print']))
    expect(spec.variables['blocked_port']?.get()).toBe(9999)
  })

  it('names the file that cannot be linked', async () => {
    const { code, stderr } = await cli([
      'gen',
      'object',
      join(directory, 'x.o'),
      fixture('globals'),
      fixture('globals'),
    ])
    expect(code).toBe(1)
    expect(stderr).toContain('is defined in more than one object')
    expect((await cli(['gen', 'object', join(directory, 'x.o')])).code).toBe(2)
  })
})

describe('gen min_core_btf', () => {
  it('writes the BTF that the objects need', async () => {
    const output = join(directory, 'min.btf')
    const made = await cli(['gen', 'min_core_btf', fixture('execsnoop'), output, fixture('execsnoop')])
    expect(made).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(dumpRaw(Btf.parse(new Uint8Array(readFileSync(output))))).toContain("STRUCT 'task_struct")
  })
})
