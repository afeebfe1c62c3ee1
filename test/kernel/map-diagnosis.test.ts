import { describe, expect, it } from 'vitest'
import { Attr, closeFd, openKernelBackend, tryBpf } from '../../src/kernel/index.ts'
import { diagnoseMap, load, openObject, type MapShapeToCheck } from '../../src/loader/index.ts'
import { Cmd, Errno, MAP_TYPES, MapFlag, MapType } from '../../src/uapi/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { kernelTestsRun } from '../support/kernel.ts'

const facts = { pageSize: 4096, cpus: 2 }
/** Need BTF, other maps or a hook of the kernel's; here the shape alone is tried. */
const NOT_TRIED = new Set<number>([
  MapType.UNSPEC,
  MapType.ARRAY_OF_MAPS,
  MapType.HASH_OF_MAPS,
  MapType.STRUCT_OPS,
  MapType.SK_STORAGE,
  MapType.INODE_STORAGE,
  MapType.TASK_STORAGE,
  MapType.CGRP_STORAGE,
])

function result(shape: MapShapeToCheck): number {
  const fd = tryBpf(
    Cmd.MAP_CREATE,
    new Attr('MAP_CREATE', {
      map_type: shape.type,
      key_size: shape.keySize,
      value_size: shape.valueSize,
      max_entries: shape.maxEntries,
      map_flags: shape.flags,
      map_extra: shape.mapExtra,
    }),
  )
  if (fd >= 0) closeFd(fd)
  return fd
}

describe.runIf(await kernelTestsRun())('map diagnosis and the kernel', () => {
  it('tells in the report why a map was refused', async () => {
    const spec = openObject(await loadFixture('fixtures/clang19/packet_counter.bpf.o'), {
      name: 'packet_counter.bpf.o',
    })
    const flows = spec.maps['flows']
    if (flows !== undefined) flows.type = MapType.LPM_TRIE
    await using live = await load(spec, openKernelBackend())
    const report = live.report.maps.find(({ name }) => name === 'flows')
    expect(report?.error).toMatchObject({ code: 'syscall', errno: 'EINVAL' })
    expect(report?.error?.message).toContain('lpm_trie maps need flag BPF_F_NO_PREALLOC')
  })

  const types = MAP_TYPES.filter(({ value }) => !NOT_TRIED.has(value)).map(({ value, name }) => ({ id: value, name }))

  it.each(types)('agree on maps of type $name', ({ id }) => {
    const disagreements: string[] = []
    for (const keySize of [0, 4, 5, 8, 16, 600]) {
      for (const valueSize of [0, 1, 4, 8, 32, 40_000]) {
        for (const maxEntries of [0, 1, 4096, 5000]) {
          for (const flags of [
            0,
            MapFlag.NO_PREALLOC,
            MapFlag.MMAPABLE,
            MapFlag.RDONLY_PROG,
            MapFlag.NO_COMMON_LRU,
            MapFlag.ZERO_SEED,
            MapFlag.STACK_BUILD_ID,
            MapFlag.INNER_MAP,
            MapFlag.PRESERVE_ELEMS,
            MapFlag.CLONE,
            MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG,
          ]) {
            const shape = {
              type: id,
              keySize,
              valueSize,
              maxEntries,
              flags,
              mapExtra: 0n,
              hasInner: false,
              typed: false,
            }
            const errno = result(shape)
            // CPU maps are cut to the CPUs before; memory and limits of this machine are not the shape's.
            if (errno === -Errno.E2BIG || errno === -Errno.ENOMEM || errno === -Errno.EPERM) continue
            const reasons = diagnoseMap(shape, facts)
            if (errno >= 0 !== (reasons.length === 0)) {
              disagreements.push(
                `key ${keySize} value ${valueSize} entries ${maxEntries} flags 0x${flags.toString(16)}: ${errno} ${reasons.join('; ')}`,
              )
            }
          }
        }
      }
    }
    expect(disagreements.slice(0, 5)).toEqual([])
  })
})
