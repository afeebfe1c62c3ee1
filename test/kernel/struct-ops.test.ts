import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { openKernelBackend, type KernelBackend } from '../../src/kernel/index.ts'
import { load, openObject, type ObjectSpec } from '../../src/loader/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { thrown } from '../support/thrown.ts'

const run = await kernelTestsRun()
const AVAILABLE = '/proc/sys/net/ipv4/tcp_available_congestion_control'
const available = (): string[] => readFileSync(AVAILABLE, 'utf8').trim().split(' ')
const open = async (): Promise<ObjectSpec> =>
  openObject(await loadFixture('fixtures/clang19/struct_ops_min.bpf.o'), { name: 'struct_ops_min.bpf.o' })

/** Sends 256 KiB through a TCP connection in a network namespace of its own, under a congestion control. */
function transfer(control: string): void {
  const script = `
    const net = require('node:net')
    const server = net.createServer((s) => { s.resume(); s.on('end', () => { s.end(); server.close() }) })
    server.listen(0, '127.0.0.1', () => {
      const c = net.connect(server.address().port, '127.0.0.1', () => c.end(Buffer.alloc(262144)))
      c.resume()
    })`
  const shell = `ip link set lo up && echo ${control} > /proc/sys/net/ipv4/tcp_congestion_control && exec "$0" -e "$1"`
  execFileSync('unshare', ['--net', 'sh', '-c', shell, process.execPath, script], { timeout: 20_000 })
}

describe.runIf(run)('struct_ops in the kernel', () => {
  if (!run) return
  const backend: KernelBackend = openKernelBackend()
  afterAll(() => {
    backend.close()
  })

  it('registers a congestion control under the name that was set, and the kernel calls it', async () => {
    const name = `elfbee_${process.pid}`
    const spec = await open()
    const steady = spec.structOps['steady']
    if (steady === undefined) throw new Error('no variable')
    steady.values['name'] = name
    // Network namespaces but the first may use only those with TCP_CONG_NON_RESTRICTED.
    steady.values['flags'] = 1
    await using live = await load(spec, backend, { strict: true })
    expect(live.report.maps.map((map) => map.status)).not.toContain('failed')
    expect(available()).not.toContain(name)
    const ops = live.structOps['steady']
    ops?.register()
    expect(available()).toContain(name)
    expect(live.variables['acks']?.get()).toBe(0n)
    transfer(name)
    expect(Number(live.variables['acks']?.get())).toBeGreaterThan(0)
    ops?.unregister()
    expect(available()).not.toContain(name)
  })

  it('takes back what it registered when it is closed', async () => {
    const name = `elfbee_c${process.pid}`
    const spec = await open()
    spec.structOps['steady']?.set('name', name)
    const live = await load(spec, backend, { strict: true })
    live.structOps['steady']?.register()
    expect(available()).toContain(name)
    live.close()
    expect(available()).not.toContain(name)
  })

  it('makes the map of a link ready, once', async () => {
    await using live = await load(await open(), backend, { strict: true })
    const link = live.structOps['steady_link']
    expect(link?.spec.byLink).toBe(true)
    link?.makeReady()
    link?.makeReady()
    expect(thrown(() => link?.register()).code).toBe('usage')
    expect(available()).not.toContain('bpf_steady_l')
  })

  it('loads only programs that a created variable needs, and says why another cannot be registered', async () => {
    const spec = await open()
    const { steady, steady_link: link } = spec.structOps
    if (steady === undefined || link === undefined) throw new Error('no variable')
    link.map.autocreate = false
    steady.values['undo_cwnd'] = null
    await using live = await load(spec, backend)
    const status = Object.fromEntries(live.report.programs.map((program) => [program.name, program.status]))
    expect(status).toEqual({ keep_ssthresh: 'loaded', count_acks: 'loaded', keep_window: 'skipped' })
    // The kernel wants undo_cwnd.
    expect(thrown(() => live.structOps['steady']?.register()).errno).toBe('EINVAL')
    expect(live.structOps['steady_link']).toBeUndefined()
  })
})
