import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cli, expectGolden, parsed } from './support.ts'

const fixture = (name: string): string => `fixtures/clang19/${name}.bpf.o`
let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'elfbee-cli-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

describe('show', () => {
  it.each(['packet_counter', 'map_in_map', 'tail_calls', 'externs', 'legacy_maps', 'optional_prog', 'struct_ops_min'])(
    'shows %s',
    async (name) => {
      const { code, stdout, stderr } = await cli([
        'show',
        fixture(name),
        '--btf',
        fixture(name === 'legacy_maps' ? 'globals' : name),
      ])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expectGolden(`show-${name}.txt`, stdout)
    },
  )

  it('gives the same as JSON', async () => {
    const result = await cli(['show', fixture('packet_counter'), '--pretty'])
    expect(result.code).toBe(0)
    expectGolden('show-packet_counter.json', result.stdout)
    const shown = parsed(result)
    expect(shown.programs[0]).toMatchObject({ name: 'count_packets', type: 'xdp', autoload: true })
    expect(shown.variables[0]).toMatchObject({ name: 'blocked_port', value: 9999, readonly: true })
  })

  it('tries CO-RE relocations on a BTF file', async () => {
    const argv = ['show', fixture('core_kinds'), '--btf', fixture('execsnoop')]
    const { core } = parsed(await cli([...argv, '--json']))
    expect(core.btf).toBe(fixture('execsnoop'))
    const find = (asked: string, kind: string): { outcome: string; reason: string | null } =>
      core.relocations.find((r: { asked: string; kind: string }) => r.asked === asked && r.kind === kind)
    expect(find('struct task_struct', 'type_exists')).toMatchObject({ outcome: 'applied', targetValue: 1 })
    expect(find('struct elfbee_absent_type', 'type_exists')).toMatchObject({ outcome: 'applied', targetValue: 0 })
    expect(core.applied + core.poisoned + core.failed).toBe(core.relocations.length)
    const { stdout } = await cli(argv)
    expect(stdout).toContain(`CO-RE relocations against ${fixture('execsnoop')}: ${core.applied} applied`)
    const verbose = await cli([...argv, '--verbose'])
    expect(verbose.stdout).toContain('type_exists struct elfbee_absent_type (facts insn')
  })

  it('refuses a --btf file without types', async () => {
    const { code, stderr } = await cli(['show', fixture('core_kinds'), '--btf', 'LICENSE'])
    expect(code).toBe(1)
    expect(stderr).toContain('LICENSE: BTF: magic')
  })

  it('reads big-endian objects, too', async () => {
    const little = parsed(await cli(['show', fixture('globals'), '-j']))
    const big = parsed(await cli(['show', 'fixtures/clang19-eb/globals.bpf.o', '-j']))
    expect(big.endianness).toBe('big')
    expect(big.variables).toEqual(little.variables)
  })

  it.each([
    ['a missing file', 'nope.o', 1, 'error: nope.o: no such file or directory\n'],
    ['a file that is no ELF', 'LICENSE', 1, 'error: LICENSE: '],
    ['a directory', 'src', 1, 'error: src: is a directory, not a file\n'],
  ])('refuses %s', async (_what, path, expectedCode, message) => {
    const { code, stdout, stderr } = await cli(['show', path])
    expect({ code, stdout }).toEqual({ code: expectedCode, stdout: '' })
    expect(stderr.startsWith(message)).toBe(true)
    expect(stderr).not.toContain('    at ')
  })

  it('refuses a cut object with where it ends', async () => {
    const path = join(directory, 'cut.o')
    writeFileSync(path, readFileSync(fixture('packet_counter')).subarray(0, 1000))
    const { code, stderr } = await cli(['show', path])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: .*cut\.o: .*at offset 0x/)
  })

  it('escapes control characters in names', async () => {
    const path = join(directory, 'hostile.o')
    const bytes = readFileSync(fixture('packet_counter'))
    const name = Buffer.from('blocked_port')
    for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + 1)) {
      bytes.write('b\u001b]0;x\u0007_port', at, 'latin1')
    }
    writeFileSync(path, bytes)
    const { code, stdout } = await cli(['show', path], { isTTY: true, env: { NO_COLOR: '1' } })
    expect(code).toBe(0)
    expect(stdout).toContain('b\\x1b]0;x\\x07_port')
    expect(stdout).not.toMatch(/[^\P{Cc}\n\t]/u)
    const dump = await cli(['btf', 'dump', 'file', path], { isTTY: true })
    expect(dump.stdout).not.toMatch(/[^\P{Cc}\n\t]/u)
    const disasm = await cli(['disasm', path], { isTTY: true, env: { NO_COLOR: '1' } })
    expect(disasm.stdout).not.toMatch(/[^\P{Cc}\n\t]/u)
  })

  it('wants exactly one object', async () => {
    expect((await cli(['show'])).code).toBe(2)
    expect((await cli(['show', 'a', 'b'])).code).toBe(2)
  })
})

describe('disasm', () => {
  it('prints every function with what it refers to', async () => {
    const { code, stdout } = await cli(['disasm', fixture('subprograms')])
    expect(code).toBe(0)
    expectGolden('disasm-subprograms.txt', stdout)
  })

  it('prints C lines', async () => {
    const { stdout } = await cli(['disasm', fixture('execsnoop'), '--source', '--program', 'exit_execve'])
    expectGolden('disasm-execsnoop-source.txt', stdout)
  })

  it('prints code as it would be loaded', async () => {
    const argv = ['disasm', fixture('execsnoop'), '--relocated', '--btf', fixture('execsnoop')]
    const { code, stdout } = await cli([...argv, '--program', 'exit_execve'])
    expect(code).toBe(0)
    expectGolden('disasm-execsnoop-relocated.txt', stdout)
    const list = parsed(await cli(['disasm', fixture('subprograms'), '--relocated', '--program', 'loops', '--json']))
    expect(list.map((fn: { name: string }) => fn.name)[0]).toBe('loops')
  })

  it("prints llvm-objdump's syntax", async () => {
    const { stdout } = await cli(['disasm', fixture('tail_calls'), '--syntax', 'llvm', '--program', 'entry'])
    expect(stdout).toContain('call 0xc')
    expect(stdout).not.toContain('(85)')
  })

  it('prints one program with the functions that it calls', async () => {
    const list = parsed(await cli(['disasm', fixture('subprograms'), '--program', 'loops', '--json']))
    expect(list[0]).toMatchObject({ name: 'loops', kind: 'program', section: 'xdp' })
    expect(list.slice(1).every((fn: { kind: string }) => fn.kind === 'subprogram')).toBe(true)
    expect(list[0].insns[0]).toMatchObject({ slot: 0, text: expect.stringMatching(/^\(..\) /) })
  })

  it('suggests a name for a wrong one', async () => {
    const { code, stderr } = await cli(['disasm', fixture('packet_counter'), '--program', 'count_packet'])
    expect(code).toBe(1)
    expect(stderr).toContain("there is no function 'count_packet' (did you mean 'count_packets'?)")
  })

  it('refuses another syntax', async () => {
    const { code, stderr } = await cli(['disasm', fixture('packet_counter'), '--syntax', 'intel'])
    expect(code).toBe(2)
    expect(stderr).toContain("--syntax must be kernel or llvm, not 'intel'")
  })
})

describe('prog verify', () => {
  it('says that a program would load, and what it costs', async () => {
    const { code, stdout } = await cli(['prog', 'verify', fixture('globals'), '--btf', fixture('globals')])
    expect(code).toBe(0)
    expect(stdout).toMatch(/\nprocessed \d+ insns|^processed \d+ insns/)
    expect(stdout).toMatch(/\): accepted, \d+ instructions, \d+ states\n$/)
  })

  it('prints the path that fails, and exits with 3', async () => {
    const source = 'fixtures/clang19/packet_counter.bpf.o'
    const bytes = readFileSync(source)
    // The first load gets an offset that the context does not have.
    const path = join(directory, 'broken.bpf.o')
    const at = bytes.indexOf(Buffer.from([0x61, 0x12, 0x04, 0x00, 0, 0, 0, 0]))
    expect(at).toBeGreaterThan(0)
    bytes[at + 2] = 0x7c
    writeFileSync(path, bytes)
    const { code, stdout } = await cli(['prog', 'verify', path, '--btf', fixture('globals')])
    expect(code).toBe(3)
    expect(stdout).toContain('\ninvalid bpf_context access off=124 size=4\nprocessed 1 insns')
    expect(stdout).toMatch(/refused, EACCES: invalid bpf_context access off=124 size=4\n$/)
    const result = parsed(
      await cli(['prog', 'verify', path, '--json', '--log-level', '0', '--btf', fixture('globals')]),
    )
    expect(result).toMatchObject([{ program: 'count_packets', accepted: false, errno: 'EACCES', insn: 0, log: '' }])
  })

  it('judges for those who may do nothing', async () => {
    const path = 'fixtures/clang19/packet_counter.bpf.o'
    const { code, stdout } = await cli(['prog', 'verify', path, '--unpriv', '--btf', fixture('globals')])
    expect(code).toBe(3)
    expect(stdout).toMatch(/refused, EPERM: programs of this type need CAP_BPF\n$/)
  })

  it('wants a level that the kernel knows', async () => {
    const { code, stderr } = await cli(['prog', 'verify', fixture('globals'), '--log-level', '9'])
    expect(code).toBe(2)
    expect(stderr).toContain("--log-level must be 0 to 7, not '9'")
  })
})
