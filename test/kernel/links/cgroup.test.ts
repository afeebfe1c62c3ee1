import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openKernelBackend } from '../../../src/kernel/index.ts'
import { AttachType, LinkType } from '../../../src/uapi/index.ts'
import { kernelTestsRun } from '../../support/kernel.ts'
import { thrown } from '../../support/thrown.ts'
import { cgroupRoot, counted, loadAttach, programOf, TestCgroup } from './support.ts'

const root = (await kernelTestsRun()) ? cgroupRoot() : null

// Does with sockets, options, a sysctl and a device whatever a cgroup program can see.
const BUSY = (folder: string): string => `
import socket, os
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    server = socket.socket(family, socket.SOCK_STREAM)
    server.bind((host, 0))
    server.listen()
    client = socket.socket(family, socket.SOCK_STREAM)
    client.connect(server.getsockname())
    client.getpeername()
    client.send(b"x")
    a = socket.socket(family, socket.SOCK_DGRAM)
    b = socket.socket(family, socket.SOCK_DGRAM)
    a.bind((host, 0))
    b.sendto(b"x", a.getsockname())
    a.recvfrom(1)
    for s in (server, client, a, b): s.close()
path = ${JSON.stringify(folder)}
u = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); u.bind(path + "/stream"); u.listen()
c = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); c.connect(path + "/stream"); c.getpeername(); c.getsockname()
d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d.bind(path + "/datagram")
e = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); e.bind(path + "/sender"); e.sendto(b"x", path + "/datagram")
d.recvfrom(1)
c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192); c.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
open("/proc/sys/kernel/ostype").read()
open("/dev/null").close()
`

const HOOKS: readonly (readonly [string, number])[] = [
  ['ingress', AttachType.CGROUP_INET_INGRESS],
  ['egress', AttachType.CGROUP_INET_EGRESS],
  ['sock_create', AttachType.CGROUP_INET_SOCK_CREATE],
  ['sock_release', AttachType.CGROUP_INET_SOCK_RELEASE],
  ['bind4', AttachType.CGROUP_INET4_BIND],
  ['bind6', AttachType.CGROUP_INET6_BIND],
  ['post_bind4', AttachType.CGROUP_INET4_POST_BIND],
  ['post_bind6', AttachType.CGROUP_INET6_POST_BIND],
  ['connect4', AttachType.CGROUP_INET4_CONNECT],
  ['connect6', AttachType.CGROUP_INET6_CONNECT],
  ['connect_unix', AttachType.CGROUP_UNIX_CONNECT],
  ['sendmsg4', AttachType.CGROUP_UDP4_SENDMSG],
  ['sendmsg6', AttachType.CGROUP_UDP6_SENDMSG],
  ['sendmsg_unix', AttachType.CGROUP_UNIX_SENDMSG],
  ['recvmsg4', AttachType.CGROUP_UDP4_RECVMSG],
  ['recvmsg6', AttachType.CGROUP_UDP6_RECVMSG],
  ['recvmsg_unix', AttachType.CGROUP_UNIX_RECVMSG],
  ['getpeername4', AttachType.CGROUP_INET4_GETPEERNAME],
  ['getpeername6', AttachType.CGROUP_INET6_GETPEERNAME],
  ['getpeername_unix', AttachType.CGROUP_UNIX_GETPEERNAME],
  ['getsockname4', AttachType.CGROUP_INET4_GETSOCKNAME],
  ['getsockname6', AttachType.CGROUP_INET6_GETSOCKNAME],
  ['getsockname_unix', AttachType.CGROUP_UNIX_GETSOCKNAME],
  ['sysctl', AttachType.CGROUP_SYSCTL],
  ['getsockopt', AttachType.CGROUP_GETSOCKOPT],
  ['setsockopt', AttachType.CGROUP_SETSOCKOPT],
  ['device', AttachType.CGROUP_DEVICE],
  ['sockops', AttachType.CGROUP_SOCK_OPS],
]

describe.runIf(root !== null)('cgroup links', () => {
  if (root === null) return
  const backend = openKernelBackend()
  const group = new TestCgroup(root)
  const folder = mkdtempSync(join(tmpdir(), 'elfbee-cgroup-'))
  afterAll(() => {
    group.close()
    backend.close()
    rmSync(folder, { recursive: true })
  })

  it('runs programs at every hook of a cgroup', async () => {
    using live = await loadAttach(backend, ...HOOKS.map(([name]) => `on_${name}`))
    const links = HOOKS.map(([name]) => programOf(live, `on_${name}`).attach({ cgroup: group.path }))
    try {
      const kinds = links.map((link) => link.info())
      expect(kinds.map(({ type }) => type)).toEqual(HOOKS.map(() => LinkType.CGROUP))
      expect(kinds.map((info) => info['attachType'])).toEqual(HOOKS.map(([, attachType]) => attachType))
      group.python(BUSY(folder))
      const silent = HOOKS.filter(([name]) => counted(live, `${name}_count`) === 0n).map(([name]) => name)
      expect(silent).toEqual([])
    } finally {
      for (const link of links) link.close()
    }
  })

  it('detaches with the link, and wants a cgroup', async () => {
    using live = await loadAttach(backend, 'on_sysctl')
    const program = programOf(live, 'on_sysctl')
    const link = program.attach({ cgroup: group.path })
    link.close()
    group.python('open("/proc/sys/kernel/ostype").read()')
    expect(counted(live, 'sysctl_count')).toBe(0n)
    expect(thrown(() => program.attach()).code).toBe('usage')
    expect(thrown(() => program.attach({ cgroup: '/no/such/folder' })).code).toBe('not-found')
    expect(thrown(() => program.attach({ cgroup: tmpdir() })).message).toContain('no directory of a cgroup v2')
  })
})
