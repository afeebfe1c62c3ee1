import { describe, expect, test } from 'vitest'
import {
  ATTACH_TYPES,
  AttachType,
  attachTypeName,
  ATTR,
  COMMANDS,
  errnoName,
  errnoNumber,
  contextStruct,
  HELPERS,
  helperById,
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

describe('helpers', () => {
  test('rows are in order of id and complete', () => {
    expect(HELPERS.length).toBe(211)
    const shorter: string[] = []
    HELPERS.forEach((row, i) => {
      expect(row.id).toBe(i + 1)
      expect(helperName(row.id)).toBe(row.name)
      expect(row.prototype).toContain(`bpf_${row.name}(`)
      expect(row.progTypes.length, row.name).toBeGreaterThan(0)
      // The verifier's arguments are those of the C declaration, but for the variadic ones.
      const list = /\((.*)\)$/.exec(row.prototype)?.[1] ?? ''
      const count = list === 'void' ? 0 : list.split(',').filter((arg) => arg.trim() !== '...').length
      if (row.args.length !== count) shorter.push(row.name)
    })
    // Its kernel prototype leaves out the last argument, which the verifier then does not look at.
    expect(shorter).toEqual(['get_branch_snapshot'])
  })

  test('has the facts of the kernel source', () => {
    expect(helperById(1)).toMatchObject({
      gplOnly: false,
      prototype: 'void *bpf_map_lookup_elem(struct bpf_map *map, const void *key)',
      args: [{ type: 'CONST_MAP_PTR' }, { type: 'PTR_TO_MAP_KEY' }],
      ret: { type: 'PTR_TO_MAP_VALUE', flags: ['MAYBE_NULL'] },
    })
    expect(helperById(113)).toMatchObject({ name: 'probe_read_kernel', gplOnly: true, since: '5.5' })
    expect(helperById(148)).toMatchObject({ name: 'copy_from_user', mightSleep: true })
    expect(helperById(131)?.ret).toEqual({ type: 'PTR_TO_MEM', flags: ['MAYBE_NULL', 'MEM_RINGBUF'] })
    expect(helperById(158)?.ret.btf).toBe('task_struct')
    expect(helperById(44)?.progTypes).toEqual([ProgType.XDP])
    expect(helperById(0)).toBeUndefined()
    expect(helperById(212)).toBeUndefined()
  })
})

test('context structures are named by program type', () => {
  expect(contextStruct(ProgType.XDP)).toBe('xdp_md')
  expect(contextStruct(ProgType.TRACING)).toBeNull()
})
