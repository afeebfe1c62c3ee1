import { describe, expect, test } from 'vitest'
import {
  ATTACH_TYPES,
  AttachType,
  attachTypeName,
  ATTR,
  COMMANDS,
  errnoName,
  errnoNumber,
  helperName,
  linkTypeName,
  MAP_TYPES,
  mapTypeName,
  matchSection,
  PROG_TYPES,
  ProgType,
  progTypeName,
  SECTION_DEFS,
  verdictName,
} from '../../src/uapi/index.ts'

describe('type tables', () => {
  test('rows are indexed by value', () => {
    for (const rows of [PROG_TYPES, MAP_TYPES, ATTACH_TYPES, COMMANDS]) {
      rows.forEach((row, value) => expect(row.value).toBe(value))
    }
  })

  test('names are libbpf words', () => {
    expect(progTypeName(24)).toBe('raw_tracepoint_writable')
    expect(mapTypeName(12)).toBe('array_of_maps')
    expect(attachTypeName(40)).toBe('sk_reuseport_select_or_migrate')
    expect(linkTypeName(8)).toBe('kprobe_multi')
    expect(progTypeName(999)).toBe('unknown 999')
    expect(helperName(181)).toBe('loop')
    expect(helperName(999)).toBeUndefined()
  })

  test('errno names go both ways', () => {
    expect(errnoName(-22)).toBe('EINVAL')
    expect(errnoName(11)).toBe('EAGAIN')
    expect(errnoName(524)).toBe('ENOTSUPP')
    expect(errnoNumber('E2BIG')).toBe(7)
    expect(errnoNumber('ENOPE')).toBeUndefined()
  })
})

describe('matchSection', () => {
  test('knows every name of libbpf 1.8', () => {
    expect(SECTION_DEFS.length).toBe(116)
    for (const def of SECTION_DEFS) {
      expect(matchSection(def.name)).toBe(def)
      const longer = matchSection(`${def.name}/some_function`)
      if (def.extras) expect(longer).toBe(def)
      else expect(longer === null || longer.name.length < def.name.length).toBe(true)
    }
  })

  test.each([
    ['kprobe/do_unlinkat', ProgType.KPROBE, null],
    ['?fentry.s/vfs_read', ProgType.TRACING, AttachType.TRACE_FENTRY],
    ['tp/syscalls/sys_enter_execve', ProgType.TRACEPOINT, null],
    ['cgroup/connect4', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET4_CONNECT],
    ['xdp.frags/devmap', ProgType.XDP, AttachType.XDP_DEVMAP],
  ])('%s', (name, progType, attachType) => {
    expect(matchSection(name)).toMatchObject({ progType, attachType })
  })

  test.each(['xdpfoo', 'xdp/foo', 'kprobes/x', 'maps', '', '?', '/', 'kprobe.multi2/x', 'tc/other'])(
    '%j is no program section',
    (name) => {
      expect(matchSection(name)).toBeNull()
    },
  )

  test('a hostile name takes no time', () => {
    expect(matchSection('/'.repeat(1_000_000))).toBeNull()
  })
})

test('verdicts have their names', () => {
  expect(verdictName(ProgType.XDP, 1)).toBe('XDP_DROP')
  expect(verdictName(ProgType.SCHED_CLS, 0xffffffff)).toBe('TC_ACT_UNSPEC')
  expect(verdictName(ProgType.SK_MSG, 1)).toBe('SK_PASS')
  expect(verdictName(ProgType.XDP, 77)).toBeNull()
  expect(verdictName(ProgType.KPROBE, 0)).toBeNull()
})

test('bpf_attr has the layout of the header', () => {
  expect(ATTR.PROG_LOAD.log_true_size).toEqual({ offset: 140, size: 4 })
  expect(ATTR.PROG_TEST_RUN.batch_size).toEqual({ offset: 72, size: 4 })
  expect(ATTR.LINK_CREATE['kprobe_multi.cookies']).toEqual({ offset: 40, size: 8 })
})
