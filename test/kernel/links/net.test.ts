import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openKernelBackend } from '../../../src/kernel/index.ts'
import { AttachType, LinkType } from '../../../src/uapi/index.ts'
import { kernelTestsRun } from '../../support/kernel.ts'
import { u32, u64 } from '../../support/program.ts'
import { thrown } from '../../support/thrown.ts'
import { counted, loadAttach, programOf, TestNetns } from './support.ts'

const run = await kernelTestsRun()

describe.runIf(run)('network links', () => {
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

  it('runs XDP on lo of another namespace, and gives way to another program', async () => {
    using live = await loadAttach(backend, 'on_xdp', 'drop_xdp', 'on_tcx')
    const where = { interface: 'lo', netns: netns.path }
    using link = programOf(live, 'on_xdp').attach({ ...where, xdpMode: 'generic' })
    using _tcx = programOf(live, 'on_tcx').attach(where)
    netns.sendDatagram()
    expect(counted(live, 'xdp_count')).toBeGreaterThan(0n)
    expect(counted(live, 'tcx_count')).toBeGreaterThan(0n)
    expect(link.info()).toMatchObject({ type: LinkType.XDP, ifindex: 1, programId: programOf(live, 'on_xdp').raw.id })

    expect(thrown(() => programOf(live, 'drop_xdp').attach({ ...where, xdpMode: 'generic' }))).toMatchObject({
      errno: 'EBUSY',
    })
    expect(thrown(() => link.update(programOf(live, 'drop_xdp'), programOf(live, 'drop_xdp')))).toMatchObject({
      errno: 'EPERM',
    })
    link.update(programOf(live, 'drop_xdp'), programOf(live, 'on_xdp'))
    const [xdp, tcx] = [counted(live, 'xdp_count'), counted(live, 'tcx_count')]
    netns.sendDatagram()
    expect(counted(live, 'xdp_count')).toBe(xdp)
    expect(counted(live, 'tcx_count')).toBe(tcx)
    expect(link.info().programId).toBe(programOf(live, 'drop_xdp').raw.id)

    link.detach()
    netns.sendDatagram()
    expect(counted(live, 'tcx_count')).toBeGreaterThan(tcx)
    expect(link.info()).toMatchObject({ ifindex: 0 })
  })

  it('leaves the thread in its own namespace', async () => {
    const before = execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' })
    using live = await loadAttach(backend, 'on_xdp')
    programOf(live, 'on_xdp').attach({ interface: 1, netns: netns.path, xdpMode: 'generic' }).close()
    const error = thrown(() => programOf(live, 'on_xdp').attach({ interface: 'absent0', netns: netns.path }))
    expect(error).toMatchObject({ code: 'not-found' })
    expect(error.message).toContain('"absent0"')
    expect(execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' })).toBe(before)
  })

  it('runs tcx programs in the order that is asked for', async () => {
    using live = await loadAttach(backend, 'on_tcx', 'on_tcx_first')
    const where = { interface: 'lo', netns: netns.path }
    using second = programOf(live, 'on_tcx').attach(where)
    using first = programOf(live, 'on_tcx_first').attach({ ...where, order: { before: second } })
    netns.sendDatagram()
    // It ran before the other one had counted the packet.
    expect(counted(live, 'tcx_count')).toBe(counted(live, 'tcx_first_count'))
    expect(counted(live, 'tcx_first_before')).toBe(counted(live, 'tcx_count') - 1n)
    expect(first.info()).toMatchObject({ type: LinkType.TCX, ifindex: 1, attachType: AttachType.TCX_INGRESS })
    first.close()
    using last = programOf(live, 'on_tcx_first').attach({ ...where, order: { after: programOf(live, 'on_tcx') } })
    netns.sendDatagram()
    expect(counted(live, 'tcx_first_before')).toBe(counted(live, 'tcx_count'))
    last.close()
    const revision = thrown(() =>
      programOf(live, 'on_tcx_first').attach({ ...where, order: { after: 'all', revision: 1n } }),
    )
    expect(revision).toMatchObject({ errno: 'ESTALE' })
    expect(thrown(() => programOf(live, 'on_tcx').attach()).message).toContain('interface')
  })

  it('runs tcx on egress when the option says so', async () => {
    using live = await loadAttach(backend, 'on_tcx')
    using link = programOf(live, 'on_tcx').attach({
      interface: 'lo',
      netns: netns.path,
      attachType: AttachType.TCX_EGRESS,
    })
    netns.sendDatagram()
    expect(counted(live, 'tcx_count')).toBeGreaterThan(0n)
    expect(link.info()).toMatchObject({ attachType: AttachType.TCX_EGRESS })
  })

  it('runs netfilter programs', async () => {
    using live = await loadAttach(backend, 'on_netfilter')
    const program = programOf(live, 'on_netfilter')
    const hook = { family: 'ipv4', hook: 'output', priority: -10 } as const
    using link = program.attach({ netns: netns.path, netfilter: hook })
    netns.sendDatagram()
    expect(counted(live, 'netfilter_count')).toBeGreaterThan(0n)
    expect(link.info()).toMatchObject({ type: LinkType.NETFILTER, family: 2, hook: 3, priority: -10 })
    expect(thrown(() => program.attach({ netfilter: { ...hook, priority: 2 ** 31 } })).code).toBe('usage')
  })

  it('runs sk_lookup programs of a namespace', async () => {
    using live = await loadAttach(backend, 'on_sk_lookup')
    using link = programOf(live, 'on_sk_lookup').attach({ netns: netns.path })
    netns.sendDatagram()
    expect(counted(live, 'sk_lookup_count')).toBeGreaterThan(0n)
    expect(link.info()).toMatchObject({ type: LinkType.NETNS, attachType: AttachType.SK_LOOKUP })
  })

  it('attaches a flow dissector to a namespace', async () => {
    using live = await loadAttach(backend, 'on_dissector')
    using link = programOf(live, 'on_dissector').attach({ netns: netns.path })
    expect(link.info()).toMatchObject({ type: LinkType.NETNS, attachType: AttachType.FLOW_DISSECTOR })
    // A transmission through a virtual device asks for the headers of the packet.
    netns.run('ip', 'link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1')
    netns.run('ip', 'link', 'set', 'veth1', 'up')
    netns.run('ip', 'addr', 'add', '10.9.8.1/24', 'dev', 'veth0')
    netns.run('ip', 'link', 'set', 'veth0', 'up')
    netns.run('ip', 'neigh', 'add', '10.9.8.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'veth0')
    netns.run('python3', '-c', DISSECTED)
    expect(counted(live, 'dissector_count')).toBeGreaterThan(0n)
  })

  it('pins links, which then outlive their handle', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'elfbee-bpffs-'))
    execFileSync('mount', ['-t', 'bpf', 'bpf', folder])
    try {
      using live = await loadAttach(backend, 'on_xdp')
      const link = programOf(live, 'on_xdp').attach({ interface: 'lo', netns: netns.path, xdpMode: 'generic' })
      const { id } = link.info()
      link.pin(join(folder, 'xdp'))
      link.close()
      netns.sendDatagram()
      expect(counted(live, 'xdp_count')).toBeGreaterThan(0n)
      using again = backend.pinnedLink(join(folder, 'xdp'))
      expect(again.info().id).toBe(id)
      using byId = backend.linkById(id)
      byId.detach()
    } finally {
      execFileSync('umount', [folder])
      rmSync(folder, { recursive: true })
    }
  })
})

// Packets of a raw packet socket have no known headers, so the kernel dissects them on their way out.
const DISSECTED = `
import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("veth0", 0x0800))
udp = struct.pack("!HHHH", 1, 2, 8, 0)
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0, bytes([10,9,8,1]), bytes([10,9,8,2]))
s.send(bytes(6) + bytes(6) + struct.pack("!H", 0x0800) + ip + udp)
`

/** A TCP connection in this process; both ends. */
async function connectedPair(): Promise<{ near: Socket; far: Socket; close: () => void }> {
  const server = createServer()
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const near = connect(address.port, '127.0.0.1')
  const far = await accepted
  return {
    near,
    far,
    close: () => {
      near.destroy()
      far.destroy()
      server.close()
    },
  }
}

function fdOf(socket: Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd
}

describe.runIf(run)('sockmap links', () => {
  if (!run) return
  const backend = openKernelBackend()
  afterAll(() => {
    backend.close()
  })

  it('runs verdict, parser and message programs on sockets of a map', async () => {
    using live = await loadAttach(backend, 'on_verdict', 'on_parser', 'on_sk_msg')
    const map = live.maps['sockets']
    if (map === undefined) throw new Error('no map')
    using verdict = programOf(live, 'on_verdict').attach({ map })
    using _parser = programOf(live, 'on_parser').attach({ map })
    using _message = programOf(live, 'on_sk_msg').attach({ map })
    expect(thrown(() => programOf(live, 'on_verdict').attach()).code).toBe('usage')
    const pair = await connectedPair()
    try {
      map.raw.update(u32(1), u64(BigInt(fdOf(pair.far))))
      map.raw.update(u32(2), u64(BigInt(fdOf(pair.near))))
      const received = new Promise<string>((resolve) => pair.far.once('data', (data) => resolve(data.toString())))
      pair.near.write('hello')
      expect(await received).toBe('hello')
      expect(counted(live, 'verdict_count')).toBeGreaterThan(0n)
      expect(counted(live, 'parser_count')).toBeGreaterThan(0n)
      expect(counted(live, 'sk_msg_count')).toBeGreaterThan(0n)
      const details = verdict.info()
      if (details.type !== 0) expect(details).toMatchObject({ type: LinkType.SOCKMAP, mapId: map.raw.id })
    } finally {
      map.raw.delete(u32(1))
      map.raw.delete(u32(2))
      pair.close()
    }
  })
})
