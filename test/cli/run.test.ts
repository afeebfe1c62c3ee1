import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ownLines } from '../../src/cli/run/kernel-trace.ts'
import { writePcap } from '../../src/testing/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { cli, expectGolden, parsed } from './support.ts'

const fixture = (name: string): string => `fixtures/clang19/${name}.bpf.o`
const packet = (name: string): string => `fixtures/packets/${name}`
/** Times differ from run to run. */
const masked = (text: string): string =>
  text.replace(/\d+(\.\d+)? (ns|µs|ms)$/gm, 'TIME').replace(/"durationNs": \d+/g, '"durationNs": 0')
/** Raw tracepoint arguments: one request of 1,000 µs and 4,096 bytes. */
const REQUEST = '0100000000000000e8030000000000000010000000000000'
let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'elfbee-cli-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

describe('run in the vm', () => {
  it.each([
    ['a packet', 'packet', ['packet_counter', '--data', packet('udp.hex')]],
    ['a capture, packet by packet', 'capture', ['packet_counter', '--data', packet('mixed.pcap')]],
    [
      'several programs in order',
      'several',
      ['load_balancer', '--program', 'fill_example', '--program', 'balance', '--data', packet('vip.hex')],
    ],
    ['a histogram', 'histogram', ['block_latency', '--program', 'feed', '--ctx', REQUEST]],
    ['trace output', 'trace', ['printk', '--program', 'trace', '--data', packet('tcp.hex')]],
    ['variables', 'variables', ['tail_calls', '--program', 'entry', '--data', packet('tcp.hex')]],
    ['everything', 'verbose', ['globals', '--program', 'update', '--data', packet('tcp.hex'), '--verbose']],
    ['an object without BTF', 'legacy', ['legacy_maps', '--data', packet('udp.hex')]],
    ['coverage', 'coverage', ['packet_counter', '--data', packet('mixed.pcap'), '--coverage']],
    ['steps', 'steps', ['optional_prog', '--program', 'first', '--data', packet('udp.hex'), '--steps']],
  ])('shows %s', async (_what, golden, [name, ...rest]) => {
    const { code, stdout, stderr } = await cli(['run', fixture(name as string), ...rest])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expectGolden(`run-${golden}.txt`, masked(stdout))
  })

  it('decodes events by the only struct that they can be', async () => {
    const argv = ['run', fixture('execsnoop'), '--btf', fixture('execsnoop'), '--set', 'include_failed=true']
    const result = await cli([...argv, '--program', 'enter_execve', '--program', 'exit_execve', '--json'])
    expect(result.code).toBe(0)
    const { events } = parsed(result)
    expect(events).toHaveLength(1)
    expect(events[0]).toMatchObject({ map: 'events', value: { pid: 4242, comm: 'elfbee', retval: 0 } })
    expect(events[0].data).toMatch(/^[0-9a-f]{336}$/)
  })

  it('prints JSON with the fields that are documented', async () => {
    const result = await cli(['run', fixture('packet_counter'), '--data', packet('udp-blocked.hex'), '--pretty'])
    expectGolden('run-packet.json', masked(result.stdout))
    const shown = parsed(result)
    expect(shown).toMatchObject({
      program: 'count_packets',
      type: 'xdp',
      retval: 1,
      verdict: 'XDP_DROP',
      backend: 'vm',
    })
    expect(shown.maps.flows).toBeUndefined()
  })

  it('runs every packet of a capture, and gives the last one in JSON beside all', async () => {
    const shown = parsed(await cli(['run', fixture('packet_counter'), '--data', packet('mixed.pcap'), '--json']))
    expect(shown.runs).toHaveLength(11)
    expect(shown.runs.at(-1)).toMatchObject({ verdict: shown.verdict, data: shown.data })
  })

  it('takes packets as hex digits, bytes and captures alike', async () => {
    const hex = '02000000000202000000000108004500002300014000401126c70a0000010a0000029c40270f000f8748626c6f636b6564'
    const bytes = join(directory, 'packet.bin')
    const capture = join(directory, 'packet.pcap')
    writeFileSync(bytes, Buffer.from(hex, 'hex'))
    writeFileSync(capture, writePcap([new Uint8Array(Buffer.from(hex, 'hex'))]))
    const outputs = []
    for (const data of [hex, `0x${hex}`, bytes, capture, packet('udp-blocked.hex')]) {
      outputs.push(masked((await cli(['run', fixture('packet_counter'), '--data', data])).stdout))
    }
    expect(new Set(outputs).size).toBe(1)
    expect(outputs[0]).toContain('XDP_DROP (1)')
  })

  it('sets variables before it loads', async () => {
    const argv = ['run', fixture('packet_counter'), '--data', packet('udp-blocked.hex'), '--set', 'blocked_port=1']
    expect((await cli(argv)).stdout).toContain('XDP_PASS')
  })

  it('gives the same by the interpreter', async () => {
    const argv = ['run', fixture('packet_counter'), '--data', packet('mixed.pcap')]
    expect(masked((await cli([...argv, '--interpreter'])).stdout)).toBe(masked((await cli(argv)).stdout))
  })

  it('runs a program on zeros when nothing is given', async () => {
    const { code, stdout } = await cli(['run', fixture('printk'), '--program', 'trace'])
    expect(code).toBe(0)
    expect(stdout).toContain('length 60')
  })

  it('says which program does not load and why, with exit code 3', async () => {
    const argv = ['run', fixture('externs'), '--btf', fixture('packet_counter')]
    const { code, stdout, stderr } = await cli([...argv, '--program', 'ksyms_typed', '--program', 'ksyms'])
    expect(code).toBe(3)
    expect(stderr).toContain("program ksyms_typed: kernel symbol 'runqueues' is not in the BTF of the kernel")
    expect(stdout).toContain('ksyms (xdp) in the vm: XDP_PASS (2)')
    const shown = parsed(await cli([...argv, '--program', 'ksyms_typed', '--json']))
    const failed = { program: 'ksyms_typed', section: 'xdp', error: expect.any(String), code: 'not-found' }
    expect(shown.failed).toContainEqual(expect.objectContaining(failed))
    expect(shown).toMatchObject({ program: 'ksyms_typed' })
  })

  it('explains a run that was stopped at a CO-RE relocation without a match', async () => {
    const { code, stderr } = await cli(['run', fixture('execsnoop'), '--btf', fixture('packet_counter'), '--no-verify'])
    expect(code).toBe(1)
    expect(stderr).toContain(
      'program enter_execve: insn 29: CO-RE relocation byte_off struct trace_event_raw_sys_enter',
    )
    expect(stderr).toContain('has no match: the target has no type of that name')
    expect(stderr).toContain('execsnoop.bpf.c:58')
  })

  it('takes events out between runs, so that none is lost', async () => {
    const many = join(directory, 'many.pcap')
    const packet = new Uint8Array(200)
    writeFileSync(many, writePcap(Array.from({ length: 300 }, () => packet)))
    const argv = ['run', fixture('maps_all'), '--program', 'use_ring', '--data', many, '--json']
    const shown = parsed(await cli(argv))
    expect(shown.runs).toHaveLength(300)
    expect(shown.runs.every(({ retval }: { retval: number }) => retval === 1000)).toBe(true)
    expect(shown.events).toHaveLength(300)
  })

  it('says an error that many runs share once', async () => {
    const argv = ['run', fixture('externs'), '--program', 'kfuncs', '--btf', fixture('externs'), '--no-verify']
    const { stderr } = await cli([...argv, '--data', packet('mixed.pcap')])
    expect(stderr.match(/^error:/gm)).toHaveLength(1)
    expect(stderr).toContain('(the same in 11 runs)')
  })

  it('says why a run was stopped, and goes on with the next', async () => {
    const programs = ['--program', 'kfuncs', '--program', 'ksyms']
    const argv = ['run', fixture('externs'), ...programs, '--btf', fixture('externs'), '--no-verify']
    const { code, stdout, stderr } = await cli(argv)
    expect(code).toBe(1)
    expect(stderr).toContain('program kfuncs: insn')
    expect(stdout).toContain('kfuncs (xdp) in the vm: stopped')
    expect(stdout).toContain('ksyms (xdp) in the vm: XDP_PASS (2)')
    const shown = parsed(await cli([...argv, '--json']))
    expect(shown.runs[0]).toMatchObject({ program: 'kfuncs', retval: null, code: 'trap' })
  })

  it.each([
    ['a missing object', ['nope.o'], 1, 'nope.o: no such file or directory'],
    [
      'a wrong program',
      [fixture('packet_counter'), '--program', 'count'],
      1,
      "no program 'count' (did you mean 'count_packets'?)",
    ],
    ['a wrong hex digit', [fixture('packet_counter'), '--data', '00xyz'], 2, "'x' is not a hex digit"],
    ['half a byte', [fixture('packet_counter'), '--data', '012'], 2, 'odd number of digits'],
    ['a repeat of nothing', [fixture('packet_counter'), '--repeat', '0'], 2, 'expected a number from 1'],
    ['an assignment without value', [fixture('packet_counter'), '--set', 'x'], 2, 'expected VARIABLE=VALUE'],
    ['an unknown variable', [fixture('packet_counter'), '--set', 'blocked_prt=1'], 1, "did you mean 'blocked_port'?"],
    ['a value that does not fit', [fixture('packet_counter'), '--set', 'blocked_port=70000'], 1, '70000'],
    [
      'the kernel by the interpreter',
      [fixture('packet_counter'), '--kernel', '--interpreter'],
      2,
      '--interpreter belongs to the vm',
    ],
    ['a big-endian object', ['fixtures/clang19-eb/packet_counter.bpf.o'], 1, 'big-endian'],
    ['a wrong BTF file', [fixture('packet_counter'), '--btf', 'LICENSE'], 1, 'LICENSE: BTF: magic'],
  ])('refuses %s', async (_what, argv, expectedCode, message) => {
    const { code, stdout, stderr } = await cli(['run', ...argv])
    expect({ code, stdout }).toEqual({ code: expectedCode, stdout: '' })
    expect(stderr).toContain(message)
    expect(stderr).not.toContain('    at ')
  })

  it('refuses an empty capture, and a cut one with where it ends', async () => {
    const empty = join(directory, 'empty.pcap')
    writeFileSync(empty, writePcap([]))
    const none = await cli(['run', fixture('packet_counter'), '--data', empty])
    expect(none.code).toBe(1)
    expect(none.stderr).toContain('the capture has no packets')
    const cut = join(directory, 'cut.pcap')
    writeFileSync(cut, writePcap([new Uint8Array(60)]).subarray(0, 50))
    const broken = await cli(['run', fixture('packet_counter'), '--data', cut])
    expect(broken.code).toBe(1)
    expect(broken.stderr).toMatch(/cut\.pcap.*at offset 0x/)
  })
})

describe('the trace buffer of the kernel', () => {
  it('gives the lines of one process', () => {
    const trace = [
      '# tracer: nop',
      '            node-42      [001] ...11 12345.678901: bpf_trace_printk: length 60',
      '            node-421     [001] ...11 12345.678902: bpf_trace_printk: not mine',
      '  my node-x-42    (     42) [000] ..... 12345.678903: bpf_trace_printk: a: b',
      '            node-42      [001] ...11 12345.678904: sched_switch: no message',
    ].join('\n')
    expect(ownLines(trace, 42)).toEqual(['length 60', 'a: b'])
  })
})

describe.runIf(await kernelTestsRun())('run in the kernel', () => {
  it('gives what the vm gives', async () => {
    const argv = ['run', fixture('packet_counter'), '--data', packet('mixed.pcap'), '--json']
    const vm = parsed(await cli(argv))
    const kernel = parsed(await cli([...argv, '--kernel']))
    const essence = (shown: { runs: { retval: number; data: string }[] }): unknown =>
      shown.runs.map(({ retval, data }) => ({ retval, data }))
    expect(essence(kernel)).toEqual(essence(vm))
    expect(kernel.maps.protocols).toEqual(vm.maps.protocols)
  })

  it('shows the end of the log of a program that the verifier refuses, and runs another', async () => {
    const argv = ['run', fixture('optional_prog'), '--program', 'never', '--program', 'first', '--kernel']
    const { code, stdout, stderr } = await cli([...argv, '--data', packet('tcp.hex')])
    expect(code).toBe(3)
    expect(stderr).toContain('program never')
    expect(stderr).toContain('bpf_get_hash_recalc')
    expect(stdout).toMatch(/^first \(xdp\) in the kernel: XDP_/)
  })

  it('shows what a program prints, or says why it cannot', async () => {
    const argv = ['run', fixture('printk'), '--program', 'trace', '--data', packet('tcp.hex')]
    const { code, stdout, stderr } = await cli([...argv, '--kernel'])
    expect(code).toBe(0)
    expect(stdout + stderr).toMatch(/length 72|bpf_trace_printk prints cannot be read/)
  })
})
