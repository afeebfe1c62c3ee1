// Descriptors of the kernel's for the cases of maps-vs-kernel, by the names that vmDescriptors() has them under.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

async function connected(...where) {
  const server = createServer().listen(...where)
  await once(server, 'listening')
  const client = connect(typeof where[0] === 'string' ? where[0] : server.address().port)
  const [[peer]] = await Promise.all([once(server, 'connection'), once(client, 'connect')])
  return { server, client, peer }
}

/** Opens sockets on the loopback device, a file and a cgroup. */
export async function kernelDescriptors() {
  const folder = mkdtempSync(join(tmpdir(), 'elfbee-maps-'))
  const tcp = await connected(0, '127.0.0.1')
  const unix = await connected(join(folder, 'socket'))
  const udp = createSocket('udp4')
  udp.bind(0, '127.0.0.1')
  await once(udp, 'listening')
  const mount = /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/mounts', 'utf8'))
  if (mount === null) throw new Error('no cgroup2 file system is mounted')
  const cgroup = openSync(mount[1], 'r')
  const file = openSync(join(folder, 'file'), 'w')
  return {
    descriptors: {
      tcp: tcp.client._handle.fd,
      udp: udp._handle.fd,
      listener: tcp.server._handle.fd,
      unix: unix.client._handle.fd,
      cgroup,
      file,
    },
    close() {
      for (const { server, client, peer } of [tcp, unix]) {
        client.destroy()
        peer.destroy()
        server.close()
      }
      udp.close()
      closeSync(cgroup)
      closeSync(file)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
