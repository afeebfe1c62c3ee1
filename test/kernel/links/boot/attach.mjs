// Runs inside a booted kernel: attaches each program of trampoline.bpf.o, lets it see an unlink(2) and detaches it.
// Prints one line a program, and exits with 1 when one did not run.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { unlink, writeFile } from 'node:fs/promises'
import { createSocket } from 'node:dgram'
import { load, openObject } from './dist/index.js'
import { openKernelBackend } from './dist/kernel/index.js'

const bytes = new Uint8Array(readFileSync('trampoline.bpf.o'))
const backend = openKernelBackend()
let failures = 0
const say = (name, text) => console.log(`${name.padEnd(16)} ${text}`)

const removeFile = async () => {
  await writeFile('/tmp/victim', '')
  await unlink('/tmp/victim')
}
const openSocket = async () => {
  const socket = createSocket('udp4')
  await new Promise((resolve) => socket.bind(0, resolve))
  socket.close()
}

mkdirSync('/sys/fs/cgroup/elfbee')
writeFileSync('/sys/fs/cgroup/elfbee/cgroup.procs', `${process.pid}`)

for (const { name } of Object.values(openObject(bytes).programs)) {
  const spec = openObject(bytes, { name: 'trampoline.bpf.o' })
  for (const program of Object.values(spec.programs)) program.autoload = program.name === name
  spec.variables.target_pid.set(process.pid)
  const counter = name.slice(3)
  try {
    const live = await load(spec, backend, { strict: true })
    const count = () => live.variables[`${counter}_count`].get()
    const inCgroup = counter === 'lsm_cgroup'
    const multi = /multi|session/.test(counter)
    const act = inCgroup ? openSocket : removeFile
    const link = live.programs[name].attach(
      inCgroup ? { cgroup: '/sys/fs/cgroup/elfbee' } : multi || counter === 'kprobe_offset' ? {} : { cookie: 77n },
    )
    await act()
    const info = link.info()
    link.close()
    const seen = count()
    await act()
    const cookie = live.variables[`${counter}_cookie`].get()
    const ok = seen > 0n && count() === seen && (inCgroup || multi || counter === 'kprobe_offset' || cookie === 77n)
    if (!ok) failures++
    const facts = JSON.stringify(info, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
    say(name, `${ok ? 'ran' : 'FAILED'} ${seen} times, cookie ${cookie}, after detach ${count()}; ${facts}`)
    live.close()
  } catch (error) {
    failures++
    say(name, `FAILED: ${error.message.split('\n')[0]}`)
  }
}
console.log(failures === 0 ? 'all ran' : `${failures} failed`)
process.exit(failures === 0 ? 0 : 1)
