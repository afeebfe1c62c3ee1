import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openKernelBackend, type KernelBackend, type KernelMap } from '../../src/kernel/index.ts'
import { openObject } from '../../src/loader/index.ts'
import { MapType } from '../../src/uapi/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { cli, parsed, repositoryPath } from './support.ts'

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
    expect(byId.stderr).toContain('ENOENT')
    const byName = await cli(['map', 'dump', 'name', 'no_such_map'])
    expect(byName.stderr).toContain("there is no map 'no_such_map'")
    const noWay = await cli(['map', 'dump'])
    expect(noWay.code).toBe(2)
    expect(noWay.stderr).toContain('id, name, pinned')
  })
})
