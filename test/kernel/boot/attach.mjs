// Runs inside a booted kernel: attaches each program of trampoline.bpf.o, lets it see an unlink(2) and detaches it; then
// replaces and traces a function of another program. Prints one line a program, and exits with 1 when one did not run.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { unlink, writeFile } from 'node:fs/promises'
import { createSocket } from 'node:dgram'
import { release } from 'node:os'
import { load, openObject } from './dist/index.js'
import { openKernelBackend } from './dist/kernel/index.js'

/** Linux releases that brought what not all kernels have; Debian's 6.1 has no multi kprobes (CONFIG_FPROBE). */
const SINCE = {
  multi: [6, 2],
  retmulti: [6, 2],
  netkit: [6, 7],
  raw_tp: [6, 10],
  session: [6, 10],
  tracing_multi: [7, 2],
  tracing_session: [7, 2],
}
const [major, minor] = release().split('.').map(Number)
const has = ([first, second]) => major > first || (major === first && minor >= second)
const read = (name) => new Uint8Array(readFileSync(name))
const backend = openKernelBackend()
let failures = 0
const say = (name, text) => console.log(`${name.padEnd(18)} ${text}`)

const removeFile = async () => {
  await writeFile('/tmp/victim', '')
  await unlink('/tmp/victim')
}
const openSocket = async () => {
  const socket = createSocket('udp4')
  await new Promise((resolve) => socket.bind(0, resolve))
  socket.close()
}

const sendPacket = async () => {
  const socket = createSocket('udp4')
  await new Promise((resolve) => socket.send('hello', 9, '10.9.9.2', resolve))
  socket.close()
}

mkdirSync('/sys/fs/cgroup/elfbee')
writeFileSync('/sys/fs/cgroup/elfbee/cgroup.procs', `${process.pid}`)

async function attach(name) {
  const counter = name.slice(3)
  const spec = openObject(read('trampoline.bpf.o'), { name: 'trampoline.bpf.o' })
  for (const program of Object.values(spec.programs)) program.autoload = program.name === name
  spec.variables.target_pid.set(process.pid)
  const live = await load(spec, backend, { strict: true })
  const count = () => live.variables[`${counter}_count`].get()
  const hasCookie = !/lsm_cgroup|netkit|multi|session|offset/.test(counter)
  const act = { lsm_cgroup: openSocket, netkit: sendPacket }[counter] ?? removeFile
  const places = { lsm_cgroup: { cgroup: '/sys/fs/cgroup/elfbee' }, netkit: { interface: 'primary' } }
  if (counter === 'netkit') {
    // Its peer is called nk0.
    for (const step of [
      'link add primary type netkit',
      'addr add 10.9.9.1/24 dev primary',
      'link set primary up',
      'link set nk0 up',
    ]) {
      execFileSync('ip', step.split(' '))
    }
  }
  const link = live.programs[name].attach(places[counter] ?? (hasCookie ? { cookie: 77n } : {}))
  await act()
  const info = link.info()
  link.close()
  const seen = count()
  await act()
  const cookie = live.variables[`${counter}_cookie`].get()
  const facts = JSON.stringify(info, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
  const later = count()
  const ok = seen > 0n && later === seen && (!hasCookie || cookie === 77n)
  live.close()
  return { ok, text: `${seen} times, cookie ${cookie}, after detach ${later}; ${facts}` }
}

/** Loads `name` for the function of a loaded program, and asks that program before, while and after it is attached. */
async function attachToProgram(name, expected) {
  const bytes = read('freplace.bpf.o')
  const target = await load(openObject(bytes), backend, { strict: true })
  const spec = openObject(bytes)
  for (const program of Object.values(spec.programs)) program.autoload = program.name === name
  spec.programs[name].attachProgram = target.programs.ask
  const live = await load(spec, backend, { strict: true })
  const ask = () => target.programs.ask.run({ data: new Uint8Array(64) }).retval
  const answers = [ask()]
  const link = live.programs[name].attach()
  answers.push(ask())
  link.close()
  answers.push(ask())
  const counter = name === 'trace' ? 'traced_count' : 'replaced_count'
  const seen = live.variables[counter].get()
  const ok = answers.join() === expected && seen === 1n
  live.close()
  target.close()
  return { ok, text: `answers ${answers.join()}, ran ${seen} times` }
}

const tests = Object.values(openObject(read('trampoline.bpf.o')).programs)
  .map(({ name }) => name)
  .filter((name) => has(SINCE[name.slice(3)] ?? [0, 0]))
  .map((name) => [name, () => attach(name)])
tests.push(['freplace', () => attachToProgram('replacement', '1,2,1')])
tests.push(['fentry of program', () => attachToProgram('trace', '1,1,1')])
for (const [name, run] of tests) {
  try {
    const { ok, text } = await run()
    if (!ok) failures++
    say(name, `${ok ? 'ran' : 'FAILED'} ${text}`)
  } catch (error) {
    failures++
    say(name, `FAILED: ${error.message.split('\n')[0]}`)
  }
}
console.log(`${tests.length - failures} passed, ${failures} failed`)
process.exit(failures === 0 ? 0 : 1)
