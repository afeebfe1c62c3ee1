import { describe, expect, it } from 'vitest'
import { kernelMapName, objectName, openObject, type ObjectSpec } from '../../src/loader/index.ts'
import { AttachType, MapFlag, MapType, ProgFlag, ProgType } from '../../src/uapi/index.ts'
import { loadFixture } from '../support/fixture.ts'

const BUILDS = ['clang14', 'clang19', 'clang19-eb'] as const

async function open(name: string, build: string = 'clang19'): Promise<ObjectSpec> {
  const file = `${name}.bpf.o`
  return openObject(await loadFixture(`fixtures/${build}/${file}`), { name: file })
}

/** What each function refers to, as text. */
function references(spec: ObjectSpec, functionName: string): string[] {
  const fn = spec.functions.find((f) => f.name === functionName)
  return (fn?.references ?? []).map((r) => {
    switch (r.kind) {
      case 'map':
        return `map ${r.map}`
      case 'mapValue':
        return `value ${r.map}+${r.offset}`
      case 'call':
      case 'functionAddress':
        return `${r.kind} ${spec.functions[r.functionIndex]?.name}`
      case 'kconfig':
      case 'ksym':
      case 'kfunc':
        return `${r.kind} ${r.extern}`
      case 'jumpTable':
        return `table to ${r.targets.join()}`
      default:
        return 'unknown'
    }
  })
}

describe('openObject', () => {
  for (const build of BUILDS) {
    it(`reads maps of maps and their slots (${build})`, async () => {
      const { maps, programs } = await open('map_in_map', build)
      expect(Object.keys(maps)).toEqual(['red', 'green', 'colours', 'tenant_a', 'tenant_b', 'tenants', 'unset', '.bss'])
      expect(maps['colours']).toMatchObject({ type: MapType.ARRAY_OF_MAPS, keySize: 4, valueSize: 4, maxEntries: 4 })
      expect(maps['colours']?.inner).toMatchObject({ type: MapType.ARRAY, maxEntries: 4, valueSize: 8 })
      expect([...(maps['colours']?.slots ?? [])]).toEqual([
        [0, 'red'],
        [2, 'green'],
      ])
      expect([...(maps['tenants']?.slots ?? [])]).toEqual([
        [3, 'tenant_a'],
        [7, 'tenant_b'],
      ])
      expect(maps['unset']?.slots.size).toBe(0)
      expect(programs['count']).toMatchObject({ section: 'xdp', type: ProgType.XDP, attachType: AttachType.XDP })
    })

    it(`reads and writes global variables by their types (${build})`, async () => {
      const spec = await open('globals', build)
      const { variables, maps } = spec
      expect(spec.littleEndian).toBe(build !== 'clang19-eb')
      expect(variables['bias']?.get()).toBe(-300)
      expect(variables['mask']?.get()).toBe(0xffff0000ffff0000n)
      expect(variables['name']?.get()).toBe('elfbee')
      expect(variables['limits']?.get()).toEqual({ low: 10, high: 200, step: 3n })
      expect(variables['hidden']?.get()).toBe(7n)
      expect(variables['packets']?.get()).toBe(0n)
      expect(variables['tuned']).toMatchObject({ map: '.data.tuned', readonly: false })
      expect(variables['fixed']).toMatchObject({ map: '.rodata.fixed', readonly: true })
      variables['limits']?.set({ low: 1, high: 2, step: 5n })
      expect(variables['limits']?.get()).toEqual({ low: 1, high: 2, step: 5n })
      const contents = maps['.rodata']?.contents ?? new Uint8Array(0)
      const view = new DataView(contents.buffer, contents.byteOffset)
      expect(view.getUint32((variables['limits']?.offset ?? 0) + 4, spec.littleEndian)).toBe(2)
      expect(() => variables['bias']?.set(40000)).toThrow(/40000/)
      expect(maps['.rodata']).toMatchObject({ flags: MapFlag.RDONLY_PROG | MapFlag.MMAPABLE, frozen: true })
      expect(maps['.bss']).toMatchObject({ type: MapType.ARRAY, maxEntries: 1, flags: MapFlag.MMAPABLE, frozen: false })
      expect(maps['.data']?.keyTypeId).toBe(0)
      expect(spec.btf?.name(maps['.data']?.valueTypeId ?? 0)).toBe('.data')
    })

    it(`opens objects of older loaders: struct bpf_map_def, static programs (${build})`, async () => {
      const spec = await open('legacy_maps', build)
      expect(spec.maps['packets']).toMatchObject({ type: MapType.ARRAY, keySize: 4, valueSize: 8, maxEntries: 256 })
      expect(spec.maps['lengths']).toMatchObject({ type: MapType.HASH, flags: MapFlag.NO_PREALLOC })
      expect(spec.programs['count_socket']).toMatchObject({ type: ProgType.SOCKET_FILTER, section: 'socket' })
      expect(references(spec, 'count_xdp')).toContain('map packets')
      expect(references(spec, 'count_socket')).toContain('map lengths')
      expect(spec.version).toBe(0x50a00)
      expect(spec.license).toBe('Dual MIT/GPL')
    })

    it(`tells programs from subprograms in any section (${build})`, async () => {
      const spec = await open('cross_section', build)
      expect(Object.keys(spec.programs).sort()).toEqual(['outer', 'verdict'])
      expect(spec.programs['outer']?.flags).toBe(ProgFlag.XDP_HAS_FRAGS)
      expect(references(spec, 'outer')).toContain('call scale')
      expect(spec.functions.map((f) => `${f.section} ${f.name}`)).toContain('library scale')
      expect([...spec.problems]).toEqual([])
    })

    it(`lists externs in libbpf's order and lays out .kconfig (${build})`, async () => {
      const spec = await open('externs', build)
      const externs = Object.values(spec.externs)
      const values = externs.filter((e) => e.kind === 'kconfig')
      // By alignment from large to small, then size, then name.
      expect(values.map((e) => `${e.name}@${e.offset}`)).toEqual([
        'CONFIG_LOG_BUF_SHIFT@0',
        'CONFIG_ELFBEE_ABSENT_INT@8',
        'CONFIG_ELFBEE_ABSENT_TRISTATE@12',
        'CONFIG_HZ@16',
        'CONFIG_INET@20',
        'LINUX_KERNEL_VERSION@24',
        'CONFIG_BPF_SYSCALL@28',
        'CONFIG_ELFBEE_ABSENT_BOOL@29',
        'LINUX_HAS_BPF_COOKIE@30',
        'CONFIG_ELFBEE_ABSENT_STRING@31',
        'CONFIG_CC_VERSION_TEXT@39',
      ])
      expect(spec.maps['.kconfig']).toMatchObject({ valueSize: 103, frozen: true })
      expect(spec.externs['elfbee_absent_kfunc']).toMatchObject({ kind: 'kfunc', weak: true })
      expect(spec.externs['schedule']).toMatchObject({ kind: 'ksym', typeId: 0, weak: false })
      expect(spec.externs['runqueues']?.typeId).not.toBe(0)
      expect(references(spec, 'kfuncs')).toContain('kfunc bpf_rcu_read_lock')
      expect(spec.programs['ksyms_typed']).toMatchObject({ section: 'xdp', autoload: false })
    })

    it(`keeps line and CO-RE records with their functions (${build})`, async () => {
      const spec = await open('execsnoop', build)
      const fn = spec.functions.find((f) => f.coreRelocations.length > 0)
      expect(fn).toBeDefined()
      for (const relocation of fn?.coreRelocations ?? []) {
        expect(relocation.insn).toBeLessThan(fn?.insns.length ?? 0)
        expect(spec.btf?.name(relocation.typeId)).not.toBe('')
      }
      expect(fn?.lines[0]?.file).toMatch(/execsnoop\.bpf\.c$/)
      expect(fn?.lines[0]?.insn).toBe(0)
      expect(spec.btf?.name(fn?.btfId ?? 0)).toBe(fn?.name)
    })
  }

  it('opens code whose symbols have no type, several programs in a section', async () => {
    for (const build of ['clang19', 'clang19-eb']) {
      const spec = await open('notype', build)
      expect(Object.keys(spec.programs)).toEqual(['drop_odd', 'drop_long'])
      expect(spec.btf).toBe(null)
      expect(references(spec, 'drop_long').some((r) => r.startsWith('call '))).toBe(true)
      expect(spec.functions.some((f) => f.name.startsWith('LBB'))).toBe(false)
    }
  })

  it('recognises struct_ops', async () => {
    for (const build of BUILDS) {
      const spec = await open('struct_ops_min', build)
      const maps = Object.values(spec.maps).filter((m) => m.dataSection === 'struct_ops')
      expect(maps.length).toBeGreaterThan(0)
      expect(maps[0]?.type).toBe(MapType.STRUCT_OPS)
    }
  })

  it('names data maps as libbpf does', async () => {
    const spec = await open('globals')
    expect(objectName('dir/globals.bpf.o')).toBe('globals')
    const names = Object.values(spec.maps).map((map) => kernelMapName(spec.name, map))
    expect(names).toContain('globals.rodata')
    expect(names).toContain('globals.bss')
    expect(names).toContain('.data.tuned')
    const bss = Object.values(spec.maps).find((m) => m.name === '.bss')
    expect(bss && kernelMapName('my_object_name', bss)).toBe('my_objec.bss')
  })

  it('opens every fixture without a problem', async () => {
    const names = ['atomics', 'block_latency', 'btf_kinds', 'checksum', 'core_kinds', 'load_balancer', 'maps_all']
    names.push('optional_prog', 'packet_counter', 'printk', 'socket_filter', 'subprograms', 'syscall_prog')
    names.push('tail_calls', 'tc_rewrite', 'tracing')
    for (const name of names) {
      for (const build of BUILDS) {
        const spec = await open(name, build)
        expect([name, [...spec.problems.values()].map((e) => e.message), spec.warnings]).toEqual([name, [], []])
        expect(Object.keys(spec.programs).length).toBeGreaterThan(0)
      }
    }
  })
})
