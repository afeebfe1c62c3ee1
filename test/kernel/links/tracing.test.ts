import { execFileSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { BpfError } from '../../../src/bytes/index.ts'
import { openKernelBackend } from '../../../src/kernel/index.ts'
import { isIteratorLink, type IteratorLink, type Link } from '../../../src/loader/index.ts'
import { LinkType } from '../../../src/uapi/index.ts'
import { kernelTestsRun } from '../../support/kernel.ts'
import { thrown } from '../../support/thrown.ts'
import { counted, loadAttach, mountTracefs, programOf } from './support.ts'

const run = await kernelTestsRun()
const COOKIE = 0x1122_3344_5566_7788n

function iterator(link: Link): IteratorLink {
  if (!isIteratorLink(link)) throw new Error('not the link of an iterator')
  return link
}

describe.runIf(run)('tracing links', () => {
  if (!run) return
  const backend = openKernelBackend()
  afterAll(() => {
    backend.close()
  })

  it('attaches raw_tp by its section, with a cookie', async () => {
    using live = await loadAttach(backend, 'on_raw_tp')
    const link = programOf(live, 'on_raw_tp').attach({ cookie: COOKIE })
    statSync('/')
    const seen = counted(live, 'raw_tp_count')
    expect(seen).toBeGreaterThan(0n)
    expect(counted(live, 'raw_tp_cookie')).toBe(COOKIE)
    expect(link.info()).toMatchObject({ type: LinkType.RAW_TRACEPOINT, target: 'sys_enter', cookie: COOKIE })
    link.close()
    link.close()
    const end = counted(live, 'raw_tp_count')
    statSync('/')
    expect(counted(live, 'raw_tp_count')).toBe(end)
    expect(thrown(() => link.info()).code).toBe('closed')
  })

  it('stays attached when the program is closed, and detaches with the link', async () => {
    using live = await loadAttach(backend, 'on_raw_tp')
    using link = programOf(live, 'on_raw_tp').attach()
    programOf(live, 'on_raw_tp').close()
    const before = counted(live, 'raw_tp_count')
    statSync('/')
    expect(counted(live, 'raw_tp_count')).toBeGreaterThan(before)
    expect(link.closed).toBe(false)
  })

  it('says which raw tracepoint is missing', async () => {
    using live = await loadAttach(backend, 'on_raw_tp')
    const error = thrown(() => programOf(live, 'on_raw_tp').attach({ target: 'no_such_tracepoint' }))
    expect(error).toMatchObject({ code: 'syscall', errno: 'ENOENT' })
    expect(error.message).toContain('no raw tracepoint "no_such_tracepoint"')
  })

  it('refuses options that the hook does not know', async () => {
    using live = await loadAttach(backend, 'on_raw_tp')
    const error = thrown(() => programOf(live, 'on_raw_tp').attach({ interface: 'lo' }))
    expect(error.code).toBe('usage')
    expect(error.message).toBe('a raw tracepoint takes no option "interface"; it takes target, cookie')
  })

  it('attaches tp_btf, with a cookie', async () => {
    using live = await loadAttach(backend, 'on_tp_btf')
    using link = programOf(live, 'on_tp_btf').attach({ cookie: 7 })
    execFileSync('true')
    expect(counted(live, 'tp_btf_count')).toBeGreaterThan(0n)
    expect(counted(live, 'tp_btf_cookie')).toBe(7n)
    expect(link.info().programId).toBe(programOf(live, 'on_tp_btf').raw.id)
  })

  it('attaches all programs whose section says where, or none', async () => {
    using live = await loadAttach(backend, 'on_raw_tp', 'on_tp_btf', 'on_perf', 'on_uprobe', 'on_socket', 'walk_tasks')
    const attached = live.attach()
    expect(Object.keys(attached.links).toSorted()).toEqual(['on_raw_tp', 'on_tp_btf', 'walk_tasks'])
    statSync('/')
    expect(counted(live, 'raw_tp_count')).toBeGreaterThan(0n)
    attached.close()
    expect(Object.values(attached.links).map((link) => link.closed)).toEqual([true, true, true])

    // The walk over a map's elements needs to be told the map.
    using failing = await loadAttach(backend, 'on_raw_tp', 'walk_map')
    expect(thrown(() => failing.attach())).toMatchObject({ code: 'syscall', where: { program: 'walk_map' } })
    const end = counted(failing, 'raw_tp_count')
    statSync('/')
    expect(counted(failing, 'raw_tp_count')).toBe(end)
  })

  it('attaches tracepoints by category and name, with a cookie', async () => {
    const unmount = mountTracefs()
    try {
      using live = await loadAttach(backend, 'on_tp')
      using link = programOf(live, 'on_tp').attach({ cookie: 5n })
      execFileSync('true')
      expect(counted(live, 'tp_count')).toBeGreaterThan(0n)
      expect(counted(live, 'tp_cookie')).toBe(5n)
      expect(link.info()).toMatchObject({
        type: LinkType.PERF_EVENT,
        event: 'tracepoint',
        target: 'sched_process_exec',
        cookie: 5n,
      })
      const missing = thrown(() => programOf(live, 'on_tp').attach({ target: 'sched/nothing_like_it' }))
      expect(missing).toMatchObject({ code: 'not-found' })
    } finally {
      unmount()
    }
  })

  it('samples a perf event of this process', async () => {
    using live = await loadAttach(backend, 'on_perf')
    const program = programOf(live, 'on_perf')
    expect(thrown(() => program.attach()).message).toContain('perfEvent')
    // The CPU clock, every 100 µs.
    using link = program.attach({ perfEvent: { type: 1, config: 0, period: 100_000, pid: process.pid }, cookie: 9 })
    const deadline = Date.now() + 5000
    while (counted(live, 'perf_count') === 0n && Date.now() < deadline);
    expect(counted(live, 'perf_count')).toBeGreaterThan(0n)
    expect(counted(live, 'perf_cookie')).toBe(9n)
    expect(link.info()).toMatchObject({ type: LinkType.PERF_EVENT, event: 'perf_event', cookie: 9n })
  })

  it('walks the tasks as text, as lines and at once', async () => {
    using live = await loadAttach(backend, 'walk_tasks')
    using link = iterator(programOf(live, 'walk_tasks').attach())
    expect(await link.text()).toMatch(new RegExp(`^${process.pid} `, 'm'))
    const lines: string[] = []
    for await (const line of link) lines.push(line)
    expect(lines.length).toBeGreaterThan(10)
    expect(lines.every((line) => /^\d+ /.test(line))).toBe(true)
    expect(Buffer.from(link.readSync()).toString()).toContain(`${process.pid} `)
    expect(link.info()).toMatchObject({ type: LinkType.ITER, target: 'task' })
  })

  it('walks only the threads that are asked for', async () => {
    using live = await loadAttach(backend, 'walk_tasks')
    using link = iterator(programOf(live, 'walk_tasks').attach({ iterator: { pid: process.pid } }))
    const pids = new Set(
      (await link.text())
        .trim()
        .split('\n')
        .map((line) => line.split(' ', 1)[0]),
    )
    expect([...pids]).toEqual([`${process.pid}`])
    const stopped = iterator(link).text({ signal: AbortSignal.abort(new Error('enough')) })
    await expect(stopped).rejects.toThrow('enough')
  })

  it('walks the elements of a map', async () => {
    using live = await loadAttach(backend, 'walk_map')
    const map = live.maps['walked']
    if (map === undefined) throw new Error('no map')
    map.set(1, 100n)
    map.set(2, 200n)
    using link = iterator(programOf(live, 'walk_map').attach({ iterator: { map } }))
    expect((await link.text()).split('\n').toSorted()).toEqual(['', '1=100', '2=200'])
    map.set(3, 300n)
    expect(await link.text()).toContain('3=300')
    expect(thrown(() => programOf(live, 'walk_map').attach())).toMatchObject({ code: 'syscall' })
  })

  it('leaves no descriptor open', async () => {
    using live = await loadAttach(backend, 'on_raw_tp', 'on_perf', 'walk_map', 'on_uprobe')
    const map = live.maps['walked']
    if (map === undefined) throw new Error('no map')
    const attempts: readonly (() => Link)[] = [
      () => programOf(live, 'on_raw_tp').attach(),
      () => programOf(live, 'on_raw_tp').attach({ target: 'no_such_tracepoint' }),
      () => programOf(live, 'on_perf').attach({ perfEvent: { type: 1, config: 0, period: 1e9, pid: process.pid } }),
      () => programOf(live, 'on_perf').attach({ perfEvent: { type: 1, config: 9999, period: 1, pid: process.pid } }),
      () => programOf(live, 'walk_map').attach({ iterator: { map } }),
      () => programOf(live, 'walk_map').attach({ iterator: { cgroup: '/' } }),
      () => programOf(live, 'on_uprobe').attach({ binary: process.execPath, offset: 2 ** 50 }),
    ]
    const openFds = (): number => readdirSync('/proc/self/fd').length
    const before = openFds()
    let failed = 0
    for (let round = 0; round < 100; round++) {
      for (const attempt of attempts) {
        try {
          const link = attempt()
          if (isIteratorLink(link)) link.readSync()
          link.close()
        } catch (error) {
          expect(error).toBeInstanceOf(BpfError)
          failed++
        }
      }
    }
    expect(failed).toBe(400)
    expect(openFds()).toBe(before)
  })

  it('says that there are no kprobes where the kernel has none', async () => {
    using live = await loadAttach(backend, 'on_kprobe')
    const program = programOf(live, 'on_kprobe')
    try {
      program.attach().close()
    } catch (error) {
      expect(error).toMatchObject({ code: 'unsupported' })
      expect(String(error)).toContain('CONFIG_KPROBE_EVENTS')
    }
  })

  it('says what to do with programs that no link attaches', async () => {
    using live = await loadAttach(backend, 'on_socket')
    const error = thrown(() => programOf(live, 'on_socket').attach())
    expect(error.code).toBe('unsupported')
    expect(error.message).toContain('SO_ATTACH_BPF')
  })
})
