import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openKernelBackend } from '../../../src/kernel/index.ts'
import { AttachType } from '../../../src/uapi/index.ts'
import { kernelTestsRun } from '../../support/kernel.ts'
import { thrown } from '../../support/thrown.ts'
import { counted, loadAttach, programOf, TestNetns } from './support.ts'

const run = await kernelTestsRun()

describe.runIf(run)('network hooks by netlink', () => {
  if (!run) return
  const backend = openKernelBackend()
  let netns: TestNetns
  beforeAll(async () => {
    netns = await TestNetns.create()
  })
  afterAll(() => {
    netns.close()
    backend.close()
  })

  it('runs XDP, puts another program in its place and takes it off', async () => {
    using live = await loadAttach(backend, 'on_xdp', 'drop_xdp', 'on_tcx')
    const where = { interface: 'lo', netns: netns.path, xdpMode: 'generic', attachMode: 'netlink' } as const
    const [count, drop] = [programOf(live, 'on_xdp'), programOf(live, 'drop_xdp')]
    using link = count.attach(where)
    netns.sendDatagram()
    const seen = counted(live, 'xdp_count')
    expect(seen).toBeGreaterThan(0n)
    expect(link.info()).toMatchObject({ type: 0, ifindex: 1, programId: count.raw.id })
    expect(netns.run('ip', 'link', 'show', 'lo')).toContain(`prog/xdp id ${count.raw.id}`)

    const refused = thrown(() => drop.attach(where))
    expect(refused.errno).toMatch(/EBUSY|EEXIST/)
    expect(refused.message).toContain(`XDP program ${count.raw.id} already`)
    expect(thrown(() => link.update(drop, drop)).errno).toBe('EPERM')
    link.update(drop, count)
    netns.sendDatagram()
    expect(counted(live, 'xdp_count')).toBe(seen)
    expect(link.info().programId).toBe(drop.raw.id)
    expect(thrown(() => link.pin('/sys/fs/bpf/elfbee-netlink')).code).toBe('unsupported')

    link.close()
    link.close()
    expect(netns.run('ip', 'link', 'show', 'lo')).not.toContain('prog/xdp')
    expect(thrown(() => link.info()).code).toBe('closed')
  })

  it.each(['ingress', 'egress'] as const)('runs a filter of clsact at %s, and takes both off', async (direction) => {
    using live = await loadAttach(backend, 'on_tcx', 'on_tcx_first')
    const attachType = direction === 'ingress' ? AttachType.TCX_INGRESS : AttachType.TCX_EGRESS
    const where = { interface: 'lo', netns: netns.path, attachMode: 'netlink', attachType } as const
    using link = programOf(live, 'on_tcx').attach({ ...where, tc: { handle: 5, priority: 77 } })
    expect(link.info()).toMatchObject({ ifindex: 1, direction, handle: 5, priority: 77 })
    using other = programOf(live, 'on_tcx_first').attach(where)
    expect(other.info()['priority']).toBeGreaterThan(0)
    netns.sendDatagram()
    expect(counted(live, 'tcx_count') + counted(live, 'tcx_first_count')).toBeGreaterThan(0n)
    expect(netns.run('tc', 'filter', 'show', 'dev', 'lo', direction)).toContain('handle 0x5')
    expect(thrown(() => programOf(live, 'on_tcx').attach({ ...where, tc: { handle: 5, priority: 77 } })).errno).toBe(
      'EEXIST',
    )
    other.close()
    const before = counted(live, 'tcx_count')
    netns.sendDatagram()
    expect(counted(live, 'tcx_count')).toBeGreaterThan(before)
    link.update(programOf(live, 'on_tcx_first'))
    expect(link.info()).toMatchObject({ handle: 5, programId: programOf(live, 'on_tcx_first').raw.id })
    link.close()
    expect(netns.run('tc', 'qdisc', 'show', 'dev', 'lo')).not.toContain('clsact')
  })

  it('leaves alone a clsact that was there before', async () => {
    using live = await loadAttach(backend, 'on_tcx')
    netns.run('tc', 'qdisc', 'add', 'dev', 'lo', 'clsact')
    programOf(live, 'on_tcx').attach({ interface: 'lo', netns: netns.path, attachMode: 'netlink' }).close()
    expect(netns.run('tc', 'qdisc', 'show', 'dev', 'lo')).toContain('clsact')
    netns.run('tc', 'qdisc', 'del', 'dev', 'lo', 'clsact')
  })
})
