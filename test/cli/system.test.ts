import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openKernelBackend, type KernelBackend, type KernelMap } from '../../src/kernel/index.ts'
import { openObject } from '../../src/loader/index.ts'
import { MapType } from '../../src/uapi/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { builtCli, cli, parsed, repositoryPath } from './support.ts'

const runs = await kernelTestsRun()

describe.runIf(runs)('map show and dump', () => {
  let backend: KernelBackend
  let flows: KernelMap
  let plain: KernelMap
  beforeAll(() => {
    backend = openKernelBackend()
    const path = repositoryPath('fixtures/clang19/packet_counter.bpf.o')
    const spec = openObject(new Uint8Array(readFileSync(path)), { name: path })
    const declared = spec.maps['flows'] as NonNullable<(typeof spec.maps)[string]>
    flows = backend.createMap({ spec: declared, kernelName: 'cli_flows', btf: spec.btf, inner: null })
    // 10.0.0.1 -> 10.0.0.2, ports 1234 and 53, UDP: as they lie in memory.
    const key = Uint8Array.of(10, 0, 0, 1, 10, 0, 0, 2, 4, 210, 0, 53, 17, 0, 0, 0)
    flows.update(key, Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    const bytes = {
      ...declared,
      name: 'plain',
      keyTypeId: 0,
      valueTypeId: 0,
      type: MapType.HASH,
      keySize: 4,
      valueSize: 20,
    }
    plain = backend.createMap({ spec: bytes, kernelName: 'cli_plain', btf: null, inner: null })
    plain.update(Uint8Array.of(1, 2, 3, 4), new Uint8Array(20).fill(0xab))
  })
  afterAll(() => {
    flows.close()
    plain.close()
    backend.close()
  })

  it("shows a map in bpftool's text", async () => {
    const { code, stdout } = await cli(['map', 'show', 'id', String(flows.id)])
    expect(code).toBe(0)
    expect(stdout).toMatch(
      new RegExp(
        `^${flows.id}: hash  name cli_flows  flags 0x0\\n\\tkey 16B  value 16B  max_entries 1024  memlock \\d+B\\n\\tbtf_id \\d+\\n$`,
      ),
    )
  })

  it("shows a map in bpftool's JSON", async () => {
    const result = await cli(['-j', 'map', 'show', 'id', String(flows.id)])
    expect(Object.keys(parsed(result))).toEqual([
      'id',
      'type',
      'name',
      'flags',
      'bytes_key',
      'bytes_value',
      'max_entries',
      'bytes_memlock',
      'frozen',
      'btf_id',
    ])
  })

  it('lists all maps, this one among them', async () => {
    const list = parsed(await cli(['-j', 'map', 'list']))
    expect(list.find((map: { id: number }) => map.id === flows.id)).toMatchObject({ name: 'cli_flows', type: 'hash' })
  })

  it('dumps a map with types, and the same by name', async () => {
    const byId = await cli(['map', 'dump', 'id', String(flows.id)])
    expect(byId.code).toBe(0)
    expect(byId.stdout).toBe(`[{
        "key": {
            "saddr": [10,0,0,1
            ],
            "daddr": [10,0,0,2
            ],
            "sport": 53764,
            "dport": 13568,
            "proto": 17,
            "pad": [0,0,0
            ]
        },
        "value": {
            "packets": 3,
            "bytes": 256
        }
    }
]
`)
    expect((await cli(['map', 'dump', 'name', 'cli_flows'])).stdout).toBe(byId.stdout)
    const [element] = parsed(await cli(['-j', 'map', 'dump', 'id', String(flows.id)]))
    expect(element.key.slice(0, 4)).toEqual(['0x0a', '0x00', '0x00', '0x01'])
    expect(element.formatted.value).toEqual({ packets: 3, bytes: 256 })
  })

  it('dumps a map without types as bytes', async () => {
    const { stdout } = await cli(['map', 'dump', 'id', String(plain.id)])
    const ab = (count: number): string => Array.from({ length: count }, () => 'ab').join(' ')
    expect(stdout).toBe(`key:\n01 02 03 04\nvalue:\n${ab(8)}  ${ab(8)}\n${ab(4)}\nFound 1 element\n`)
  })

  it('refuses what does not exist', async () => {
    const byId = await cli(['map', 'dump', 'id', '4294967295'])
    expect(byId.code).toBe(1)
    expect(byId.stderr).toContain('there is no map with id 4294967295')
    const byName = await cli(['map', 'dump', 'name', 'no_such_map'])
    expect(byName.stderr).toContain("there is no map 'no_such_map'")
    const noWay = await cli(['map', 'dump'])
    expect(noWay.code).toBe(2)
    expect(noWay.stderr).toContain('id, name, pinned')
  })
})

describe.runIf(runs)('btf show', () => {
  it('lists the BTF of the kernel first', async () => {
    const { stdout } = await cli(['btf', 'show'])
    expect(stdout).toMatch(/^1: name \[vmlinux\] {2}size \d+B/)
    expect(parsed(await cli(['-j', 'btf', 'show', 'id', '1']))).toMatchObject({ id: 1, kernel: true, name: 'vmlinux' })
  })

  it('dumps BTF by id', async () => {
    const { code, stdout } = await cli(['btf', 'dump', 'id', '1', 'root_id', '1'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^\[1\] /)
  })
})

/** Runs a script with a bpf file system of its own at $FS; null where none can be mounted. */
function withBpffs(script: string): string | null {
  const setup = 'FS=$(mktemp -d) && mount -t bpf bpf $FS || exit 77'
  const result = spawnSync('unshare', ['-m', 'sh', '-c', `${setup}\n${script}\numount $FS; rmdir $FS`], {
    encoding: 'utf8',
    env: { ...process.env, ELFBEE: `${process.execPath} ${builtCli()}` },
    cwd: repositoryPath('.'),
  })
  return result.status === 77 || result.error !== undefined ? null : `${result.stdout}${result.stderr}`
}

describe.runIf(runs && withBpffs('true') !== null)('prog load and show', () => {
  it('pins the first program, silently', () => {
    const output = withBpffs(`
      $ELFBEE prog load fixtures/clang19/packet_counter.bpf.o $FS/counter && echo loaded
      $ELFBEE prog show pinned $FS/counter`)
    expect(output).toMatch(
      /^loaded\n\d+: xdp {2}name count_packets {2}tag [0-9a-f]{16} {2}gpl\n\tloaded_at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} {2}uid 0\n\txlated \d+B {2}(jited \d+B|not jited) {2}memlock \d+B {2}map_ids [\d,]+\n\tbtf_id \d+\n$/,
    )
  })

  it('pins all programs and maps', () => {
    const output = withBpffs(`
      $ELFBEE prog loadall fixtures/clang19/tail_calls.bpf.o $FS/programs pinmaps $FS/maps
      ls $FS/programs $FS/maps | grep -v :
      $ELFBEE map dump pinned $FS/maps/stages`)
    for (const name of ['entry', 'parse_ipv4', 'parse_ipv6', 'spin', 'spin_start', 'verdict', 'stages']) {
      expect(output?.split('\n')).toContain(name)
    }
    expect(output).toContain('Found 4 elements')
  })

  it('pins nothing when a program is refused, and shows the end of its log', () => {
    const output = withBpffs(`
      $ELFBEE prog loadall fixtures/clang19/packet_counter.bpf.o $FS/programs type socket; echo exit code $?
      ls $FS/programs`)
    expect(output).toContain('exit code 3')
    expect(output).toContain("invalid mem access 'scalar'")
    expect(output).toContain('No such file or directory')
  })

  it('takes pins back when one of them fails', () => {
    const output = withBpffs(`
      mkdir $FS/maps; $ELFBEE map show >/dev/null
      $ELFBEE prog load fixtures/clang19/packet_counter.bpf.o $FS/counter pinmaps $FS/no/such; echo exit code $?
      ls $FS`)
    expect(output).toContain('exit code 1')
    expect(output).not.toMatch(/^counter$/m)
  })

  it('does not take a map for a program', () => {
    const output = withBpffs(`
      $ELFBEE prog load fixtures/clang19/packet_counter.bpf.o $FS/counter pinmaps $FS/maps
      $ELFBEE prog show pinned $FS/maps/flows; $ELFBEE map dump pinned $FS/counter`)
    expect(output).toContain('what is pinned there is a map, not a program')
    expect(output).toContain('what is pinned there is a program, not a map')
  })

  it('says that a path is in no bpf file system', () => {
    const output = withBpffs(`$ELFBEE prog load fixtures/clang19/packet_counter.bpf.o ./counter; echo exit code $?`)
    expect(output).toContain('not in a bpf file system')
    expect(output).toContain('exit code 1')
  })
})
