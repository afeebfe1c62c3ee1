import { describe, expect, it } from 'vitest'
import {
  hasFeature,
  KERNEL_FEATURES,
  probeHelper,
  probeIsa,
  probeMapFlag,
  probeMapType,
  probeProgType,
} from '../../src/kernel/index.ts'
import { HelperId, MAP_TYPES, MapFlag, MapType, PROG_TYPES, ProgType } from '../../src/uapi/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { thrown } from '../support/thrown.ts'

const run = await kernelTestsRun()
/** Types that this machine's kernel may lack, by its configuration or lockdown. */
const OPTIONAL = new Set(['unspec', 'lirc_mode2', 'tracing', 'ext', 'lsm', 'netfilter', 'struct_ops'])

describe.runIf(run)('what the kernel can', () => {
  it('knows the features that libbpf asks for', () => {
    expect(KERNEL_FEATURES).toHaveLength(26)
    // All of Linux 5.15 and before; the tests need a newer kernel.
    for (const { name, since } of KERNEL_FEATURES) {
      const [major = 0, minor = 0] = since.split('.').map(Number)
      if (major < 5 || (major === 5 && minor <= 15)) expect(hasFeature(name), name).toBe(true)
    }
  })

  it('knows program types', () => {
    const lacking = PROG_TYPES.filter(({ value }) => !probeProgType(value)).map(({ name }) => name)
    expect(lacking).toContain('unspec')
    expect(lacking.filter((name) => !OPTIONAL.has(name))).toEqual([])
    expect(probeProgType(200)).toBe(false)
  })

  it('knows map types and their flags', () => {
    const lacking = MAP_TYPES.filter(({ value }) => !probeMapType(value)).map(({ name }) => name)
    expect(lacking).toContain('unspec')
    expect(lacking.filter((name) => name !== 'unspec' && name !== 'arena')).toEqual([])
    expect(probeMapType(MapType.STRUCT_OPS)).toBe(true)
    expect(probeMapType(200)).toBe(false)
    expect(probeMapFlag(MapFlag.MMAPABLE)).toBe(true)
    expect(probeMapFlag(MapFlag.NO_PREALLOC)).toBe(true)
    expect(probeMapFlag(1 << 30)).toBe(false)
  })

  it('knows which types may call which helpers', () => {
    expect(probeHelper(ProgType.XDP, HelperId.xdp_adjust_head)).toBe(true)
    expect(probeHelper(ProgType.SOCKET_FILTER, HelperId.xdp_adjust_head)).toBe(false)
    expect(probeHelper(ProgType.KPROBE, HelperId.get_attach_cookie)).toBe(true)
    expect(probeHelper(ProgType.XDP, 9999)).toBe(false)
    expect(thrown(() => probeHelper(ProgType.TRACING, HelperId.map_lookup_elem)).code).toBe('unsupported')
  })

  it('knows the instruction set', () => {
    for (const feature of ['v2', 'v3', 'boundedLoops', 'largePrograms'] as const) expect(probeIsa(feature)).toBe(true)
    expect(typeof probeIsa('v4')).toBe('boolean')
  })
})
