// Runs inside a booted kernel older than 6.10, which has no links of sockmaps: attaches a verdict program to one all the
// same, lets it see data, and detaches it. Exits with 1 when it did not.
import { readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { load, openObject } from './dist/index.js'
import { openKernelBackend } from './dist/kernel/index.js'

const backend = openKernelBackend()
const spec = openObject(new Uint8Array(readFileSync('attach.bpf.o')), { name: 'attach.bpf.o' })
for (const program of Object.values(spec.programs)) program.autoload = program.name === 'on_verdict'
const live = await load(spec, backend, { strict: true })
const map = live.maps.sockets
const link = live.programs.on_verdict.attach({ map })
const info = link.info()
const refused = []
for (const use of [() => link.pin('/sys/fs/bpf/verdict'), () => link.update(live.programs.on_verdict)]) {
  try {
    use()
  } catch (error) {
    refused.push(error.code)
  }
}

const server = createServer()
const accepted = new Promise((resolve) => server.once('connection', resolve))
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const near = connect(server.address().port, '127.0.0.1')
const far = await accepted
const say = async (text) => {
  const received = new Promise((resolve) => far.once('data', resolve))
  near.write(text)
  return `${await received}`
}
const key = new Uint8Array(4)
map.raw.update(key, new Uint8Array(BigUint64Array.of(BigInt(far._handle.fd)).buffer))
const count = () => live.variables.verdict_count.get()
const texts = [await say('one')]
const seen = count()
map.raw.delete(key)
live.programs.on_verdict.close()
link.close()
link.close()
// Nothing is attached any more: a socket that is added now is not seen.
map.raw.update(key, new Uint8Array(BigUint64Array.of(BigInt(far._handle.fd)).buffer))
texts.push(await say('two'))
const ok = texts.join() === 'one,two' && seen > 0n && count() === seen && link.closed
console.log(
  `link type ${info.type}, refused ${refused.join()}, seen ${seen}, after detach ${count()}: ${ok ? 'ran' : 'FAILED'}`,
)
process.exit(ok ? 0 : 1)
