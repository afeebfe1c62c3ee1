import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { builtCli, repositoryPath } from '../cli/support.ts'
import { kernelTestsRun } from '../support/kernel.ts'

const run = await kernelTestsRun()

/**
 * Makes a user namespace whose bpf file system is given rights from outside, and runs a command in it: the namespace
 * opens the file system, its parent sets the options, as only the initial namespace may.
 */
const DELEGATE = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    result = libc.syscall(number, *args)
    if result < 0: raise OSError(ctypes.get_errno(), 'syscall %d' % number)
    return result
FSOPEN, FSCONFIG, FSMOUNT, MOVE_MOUNT, PIDFD_OPEN, PIDFD_GETFD = 430, 431, 432, 429, 434, 438
NEWUSER, NEWNS = 0x10000000, 0x20000
mount, command = sys.argv[1], sys.argv[2:]
up, down = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    call(272, NEWUSER | NEWNS)
    os.write(up[1], b'n')
    os.read(down[0], 1)
    fs = call(FSOPEN, b'bpf', 0)
    os.write(up[1], bytes([fs]))
    os.read(down[0], 1)
    made = call(FSMOUNT, fs, 0, 0)
    call(MOVE_MOUNT, made, b'', -100, mount.encode(), 4)
    os.environ['LIBBPF_BPF_TOKEN_PATH'] = mount
    os.execvp(command[0], command)
os.read(up[0], 1)
for name in 'uid_map', 'gid_map':
    open('/proc/%d/%s' % (child, name), 'w').write('0 0 1')
os.write(down[1], b'g')
number = os.read(up[0], 1)[0]
fs = call(PIDFD_GETFD, call(PIDFD_OPEN, child, 0), number, 0)
for kind in b'delegate_cmds', b'delegate_maps', b'delegate_progs', b'delegate_attachs':
    call(FSCONFIG, fs, 1, kind, b'any', 0)
call(FSCONFIG, fs, 6, None, None, 0)
os.write(down[1], b'g')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
`

/** Linux 6.9. */
const [major = 0, minor = 0] = release().split('.').map(Number)
const hasTokens = major > 6 || (major === 6 && minor >= 9)

describe.runIf(run && hasTokens && process.arch === 'x64')('BPF tokens', () => {
  it('let a user namespace load what was delegated to it', { timeout: 120_000 }, () => {
    const dist = pathToFileURL(join(builtCli(), '../..')).href
    const folder = mkdtempSync(join(tmpdir(), 'elfbee-token-'))
    try {
      writeFileSync(join(folder, 'delegate.py'), DELEGATE)
      writeFileSync(
        join(folder, 'use.mjs'),
        `import { readFileSync } from 'node:fs'
         import { load, openObject } from '${dist}/loader/index.js'
         import { kernelStatus, openKernelBackend } from '${dist}/kernel/index.js'
         const status = kernelStatus()
         if (!status.ok) console.log(JSON.stringify(status.reasons))
         else {
           const spec = openObject(new Uint8Array(readFileSync(process.argv[2])))
           const live = await load(spec, openKernelBackend(), { strict: true })
           const { verdict } = live.programs.count_packets.run({ data: new Uint8Array(64) })
           console.log(JSON.stringify(verdict))
         }`,
      )
      const use = ['node', join(folder, 'use.mjs'), repositoryPath('fixtures/clang19/packet_counter.bpf.o')]
      const mount = join(folder, 'bpf')
      execFileSync('mkdir', [mount])
      const within = execFileSync('python3', [join(folder, 'delegate.py'), mount, ...use], { encoding: 'utf8' })
      expect(JSON.parse(within)).toBe('XDP_PASS')
      // The same namespace without the file system.
      const without = execFileSync('unshare', ['--user', '--map-root-user', ...use], { encoding: 'utf8' })
      expect(without).toContain('EPERM')
      expect(without).toContain('or a BPF token')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
