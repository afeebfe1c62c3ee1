import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readlinkSync, rmdirSync, rmSync } from 'node:fs'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load, openObject, type Backend, type LoadedObject, type LoadedProgram } from '../../../src/loader/index.ts'
import { loadFixture } from '../../support/fixture.ts'

/** The object with one program for each hook; loads only the named ones, with their counters. */
export async function loadAttach(backend: Backend, ...names: readonly string[]): Promise<LoadedObject> {
  const spec = openObject(await loadFixture('test/kernel/links/objects/attach.bpf.o'), { name: 'attach.bpf.o' })
  for (const program of Object.values(spec.programs)) program.autoload = names.includes(program.name)
  spec.variables['target_pid']?.set(process.pid)
  return load(spec, backend, { strict: true })
}

export function programOf(live: LoadedObject, name: string): LoadedProgram {
  const program = live.programs[name]
  if (program === undefined) throw new Error(`no program ${name}`)
  return program
}

/** A counter of the object. */
export function counted(live: LoadedObject, name: string): bigint {
  return live.variables[name]?.get() as bigint
}

/** A network namespace of its own with `lo` up, which ends with the process that holds it. */
export class TestNetns {
  readonly path: string
  readonly #holder: ChildProcess

  private constructor(holder: ChildProcess) {
    this.#holder = holder
    this.path = `/proc/${holder.pid}/ns/net`
  }

  static async create(): Promise<TestNetns> {
    const holder = spawn('unshare', ['--net', 'sleep', '600'], { stdio: 'ignore' })
    const own = readlinkSync('/proc/self/ns/net')
    const netns = new TestNetns(holder)
    // Until the name of the process is "sleep", unshare may not have done its work yet.
    const deadline = Date.now() + 10_000
    while (readlinkSync(netns.path) === own || !isSleep(holder.pid)) {
      if (Date.now() > deadline) throw new Error('unshare --net did not start')
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    netns.run('ip', 'link', 'set', 'lo', 'up')
    return netns
  }

  /** Runs a command in the namespace; its output. */
  run(...command: readonly string[]): string {
    return execFileSync('nsenter', [`--net=${this.path}`, ...command], { encoding: 'utf8' })
  }

  /** Sends one datagram over lo, to a port where nobody listens. */
  sendDatagram(): void {
    this.run('bash', '-c', 'echo hello > /dev/udp/127.0.0.1/9')
  }

  close(): void {
    this.#holder.kill('SIGKILL')
  }
}

function isSleep(pid: number | undefined): boolean {
  return readFileSync(`/proc/${pid}/comm`, 'latin1').trim() === 'sleep'
}

/** Where cgroup v2 is mounted, null when it is not. */
export function cgroupRoot(): string | null {
  const mount = readFileSync('/proc/self/mounts', 'latin1')
    .split('\n')
    .find((line) => line.split(' ')[2] === 'cgroup2')
  if (mount === undefined) console.warn('cgroup tests are skipped: no cgroup v2 is mounted')
  return mount?.split(' ')[1] ?? null
}

/** A cgroup of its own, without processes of others. */
export class TestCgroup {
  readonly path: string

  constructor(root: string) {
    this.path = join(root, `elfbee-test-${process.pid}-${Date.now()}`)
    mkdirSync(this.path)
  }

  /** Runs Python in the cgroup; its output. */
  python(script: string): string {
    const join_ = 'echo $$ > "$0/cgroup.procs" && exec python3 -c "$1"'
    return execFileSync('sh', ['-c', join_, this.path, script], { encoding: 'utf8', timeout: 20_000 })
  }

  close(): void {
    for (let attempt = 0; ; attempt++) {
      try {
        rmdirSync(this.path)
        return
      } catch (error) {
        if (attempt === 50) throw error
        execFileSync('sleep', ['0.02'])
      }
    }
  }
}

/** Mounts tracefs in a temporary folder, when it is mounted nowhere; returns what undoes it. */
export function mountTracefs(): () => void {
  if (/ tracefs /.test(readFileSync('/proc/self/mounts', 'latin1'))) return () => {}
  const folder = mkdtempSync(join(tmpdir(), 'elfbee-tracefs-'))
  execFileSync('mount', ['-t', 'tracefs', 'tracefs', folder])
  return () => {
    execFileSync('umount', [folder])
    rmSync(folder, { recursive: true })
  }
}
