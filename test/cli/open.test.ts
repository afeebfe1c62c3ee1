import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import * as browser from '../../src/browser.ts'
import { isBpfError, open, openBackend } from '../../src/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { repositoryPath } from './support.ts'

const PATH = repositoryPath('fixtures/clang19/packet_counter.bpf.o')
const PACKET = Buffer.from(readFileSync(repositoryPath('fixtures/packets/udp.hex'), 'utf8').trim(), 'hex')

describe('open()', () => {
  it('takes a path, a URL and bytes', async () => {
    const byPath = await open(PATH)
    const byUrl = await open(pathToFileURL(PATH))
    const byBytes = await open(new Uint8Array(readFileSync(PATH)), { name: 'mine.o' })
    for (const spec of [byPath, byUrl, byBytes]) expect(Object.keys(spec.programs)).toEqual(['count_packets'])
    expect(byPath.file).toBe(PATH)
    expect(byBytes.file).toBe('mine.o')
  })

  it('loads into the vm by name and runs', async () => {
    const spec = await open(PATH)
    await using live = await spec.load({ backend: 'vm' })
    const result = live.programs['count_packets']?.run({ data: new Uint8Array(PACKET) })
    expect(result).toMatchObject({ retval: 2, verdict: 'XDP_PASS' })
    const [flow] = live.maps['flows']?.entries() ?? []
    expect(flow).toBeDefined()
  })

  it('takes the backend that there is', async () => {
    const spec = await open(PATH)
    await using live = await spec.load()
    const kernel = await kernelTestsRun()
    expect(live.backend.name).toBe(kernel ? 'kernel' : 'vm')
    expect(live.report.backend).toEqual(
      kernel
        ? { name: 'kernel', reason: null }
        : { name: 'vm', reason: expect.stringMatching(/^the kernel cannot be used: ./) as string },
    )
    await using vm = await spec.load({ backend: 'vm' })
    expect(vm.report.backend).toEqual({ name: 'vm', reason: null })
  })

  it.runIf(process.platform === 'linux' && process.getuid?.() === 0)('says why it is not the kernel', () => {
    // The same object, loaded by a user that may not use bpf(2).
    const script = `
      import { readFileSync } from 'node:fs'
      import { open } from ${JSON.stringify(pathToFileURL(repositoryPath('dist/index.js')))}
      const bytes = readFileSync(0)
      process.setgid(65534)
      process.setuid(65534)
      const live = await (await open(new Uint8Array(bytes))).load()
      console.log(JSON.stringify(live.report.backend))
      live.close()`
    const output = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
      input: readFileSync(PATH),
      encoding: 'utf8',
    })
    expect(JSON.parse(output)).toEqual({
      name: 'vm',
      reason: expect.stringMatching(/^the kernel cannot be used: .*(EPERM|CAP_BPF|addon)/) as string,
    })
  })

  it('opens a backend of its own', async () => {
    const vm = await openBackend('vm')
    expect(vm.name).toBe('vm')
    vm.close()
    await expect(openBackend('cloud' as 'vm')).rejects.toSatisfy(isBpfError)
  })

  it('fails for a file that is not there', async () => {
    await expect(open('no/such/file.o')).rejects.toThrow(/ENOENT/)
  })
})

describe('open() of a browser', () => {
  it('takes bytes and runs in the vm', async () => {
    const spec = await browser.open(new Uint8Array(readFileSync(PATH)))
    await using live = await spec.load()
    expect(live.programs['count_packets']?.run({ data: new Uint8Array(PACKET) })).toMatchObject({ verdict: 'XDP_PASS' })
  })

  it('has no kernel', async () => {
    const spec = await browser.open(new Uint8Array(readFileSync(PATH)))
    await expect(spec.load({ backend: 'kernel' })).rejects.toThrow('cannot be used from a browser')
  })
})
