import { describe, expect, it } from 'vitest'
import { HelperId, MapType, ProgType, XdpAction } from '../../src/uapi/index.ts'
import { op, program, readU32, readU64, u32, u64 } from '../support/program.ts'
import { drained, failure, type Harness } from './harness.ts'

const CURRENT_CPU = [-1, 0] as const

/** Loading, running, and the maps that only mean something together with programs. */
export function programContract(harness: Harness): void {
  const map = harness.map.bind(harness)
  const load = harness.load.bind(harness)
  const packet = Uint8Array.from({ length: 64 }, (_, i) => i)

  describe('runs', () => {
    it('give the return value and the packet', async () => {
      const drop = load(program('drop', ProgType.XDP, [op.mov(0, XdpAction.DROP), op.exit]))
      const result = drop.run({ data: packet })
      expect(result.retval).toBe(XdpAction.DROP)
      expect(result.data).toEqual(packet)
    })

    it('give return values as unsigned 32 bits', async () => {
      const minus = load(program('minus', ProgType.SCHED_CLS, [op.mov(0, -1), op.exit]))
      expect(minus.run({ data: packet }).retval).toBe(0xffff_ffff)
    })

    it('count in maps, as often as repeated', async () => {
      const counters = map(MapType.ARRAY, 4, 8, 1)
      const count = load(
        program(
          'count',
          ProgType.XDP,
          [
            op.store(4, 10, -4, 0),
            op.movReg(2, 10),
            op.add(2, -4),
            op.map(1),
            op.helper(HelperId.map_lookup_elem),
            { kind: 'branch', op: 'eq', wide: true, dst: 0, src: null, imm: 0, target: 9 },
            op.mov(1, 1),
            { kind: 'atomic', op: 'add', fetch: false, size: 8, dst: 0, src: 1, off: 0 },
            op.mov(0, XdpAction.PASS),
            op.exit,
          ],
          ['counters'],
        ),
        { counters },
      )
      expect(count.run({ data: packet }).retval).toBe(XdpAction.PASS)
      count.run({ data: packet, repeat: 10 })
      expect(readU64(counters.lookup(u32(0)))).toBe(11n)
    })

    it('refuse packets without an Ethernet header', async () => {
      const pass = load(program('pass', ProgType.XDP, [op.mov(0, XdpAction.PASS), op.exit]))
      expect(failure(() => pass.run({ data: packet.subarray(0, 13) }))).toBe('EINVAL')
      expect(pass.run({ data: packet.subarray(0, 14) }).retval).toBe(XdpAction.PASS)
    })

    it('pass the arguments of raw tracepoints', async () => {
      const first = load(program('first', ProgType.RAW_TRACEPOINT, [op.load(8, 0, 1, 8), op.exit]))
      const ctx = new Uint8Array(16)
      ctx.set(u64(0x1234n), 8)
      expect(first.run({ ctx }).retval).toBe(0x1234)
    })

    it('end when the program is closed', async () => {
      const pass = load(program('pass', ProgType.XDP, [op.mov(0, XdpAction.PASS), op.exit]))
      pass.close()
      pass.close()
      expect(failure(() => pass.run({ data: packet }))).toBe('closed')
    })
  })

  describe('prog array', () => {
    const jump = (name: string, index: number) =>
      program(
        name,
        ProgType.XDP,
        [op.map(2), op.mov(3, index), op.helper(HelperId.tail_call), op.mov(0, XdpAction.ABORTED), op.exit],
        ['jumps'],
      )

    it('is called through, and falls through where it is empty', async () => {
      const jumps = map(MapType.PROG_ARRAY, 4, 4, 4)
      const tx = load(program('tx', ProgType.XDP, [op.mov(0, XdpAction.TX), op.exit]))
      const entry = load(jump('entry', 1), { jumps })
      expect(entry.run({ data: packet }).retval).toBe(XdpAction.ABORTED)
      jumps.setSlot(u32(1), tx)
      expect(entry.run({ data: packet }).retval).toBe(XdpAction.TX)
      expect(readU32(jumps.lookup(u32(1)))).toBe(tx.id)
      expect(jumps.delete(u32(1))).toBe(true)
      expect(jumps.lookup(u32(1))).toBeNull()
      expect(entry.run({ data: packet }).retval).toBe(XdpAction.ABORTED)
    })

    it('refuses slots beyond its end and programs of another type', async () => {
      const jumps = map(MapType.PROG_ARRAY, 4, 4, 4)
      const tx = load(program('tx', ProgType.XDP, [op.mov(0, XdpAction.TX), op.exit]))
      const tc = load(program('tc', ProgType.SCHED_CLS, [op.mov(0, 0), op.exit]))
      jumps.setSlot(u32(0), tx)
      expect(failure(() => jumps.setSlot(u32(4), tx))).toBe('E2BIG')
      expect(failure(() => jumps.setSlot(u32(1), tc))).toBe('EINVAL')
    })
  })

  describe('maps of maps', () => {
    it.each([
      ['array', MapType.ARRAY_OF_MAPS],
      ['hash', MapType.HASH_OF_MAPS],
    ] as const)('%s: programs reach the inner map of a slot', async (_, type) => {
      const inner = map(MapType.ARRAY, 4, 4, 1)
      inner.update(u32(0), u32(77))
      const outer = map(type, 4, 4, 4, {}, inner)
      outer.setSlot(u32(2), inner)
      expect(readU32(outer.lookup(u32(2)))).toBe(inner.id)
      const read = load(
        program(
          'read',
          ProgType.XDP,
          [
            op.store(4, 10, -4, 2),
            op.movReg(2, 10),
            op.add(2, -4),
            op.map(1),
            op.helper(HelperId.map_lookup_elem),
            { kind: 'branch', op: 'eq', wide: true, dst: 0, src: null, imm: 0, target: 14 },
            op.movReg(1, 0),
            op.store(4, 10, -4, 0),
            op.movReg(2, 10),
            op.add(2, -4),
            op.helper(HelperId.map_lookup_elem),
            { kind: 'branch', op: 'eq', wide: true, dst: 0, src: null, imm: 0, target: 14 },
            op.load(4, 0, 0, 0),
            op.exit,
          ],
          ['outer'],
        ),
        { outer },
      )
      expect(read.run({ data: packet }).retval).toBe(77)
    })
  })

  describe('ring buffer', () => {
    const output = (size: number) =>
      program(
        'output',
        ProgType.XDP,
        [
          op.store(8, 10, -8, 0x11223344),
          op.store(8, 10, -16, 0x55667788),
          op.map(1),
          op.movReg(2, 10),
          op.add(2, -16),
          op.mov(3, size),
          op.mov(4, 0),
          op.helper(HelperId.ringbuf_output),
          op.exit,
        ],
        ['ring'],
      )

    it('delivers records once, in order, without padding', async () => {
      const ring = map(MapType.RINGBUF, 0, 0, 4096)
      const twelve = load(output(12), { ring })
      expect(drained(ring)).toEqual([])
      expect(twelve.run({ data: packet }).retval).toBe(0)
      expect(twelve.run({ data: packet }).retval).toBe(0)
      const record = new Uint8Array([...u64(0x55667788n), ...u32(0x11223344)])
      expect(drained(ring)).toEqual([record, record])
      expect(drained(ring)).toEqual([])
    })

    it('goes on after its end, and refuses records while it is full', async () => {
      const ring = map(MapType.RINGBUF, 0, 0, 4096)
      const sixteen = load(output(16), { ring })
      let stored = 0
      while (stored < 1000 && sixteen.run({ data: packet }).retval === 0) stored++
      expect(stored).toBeGreaterThan(100)
      expect(sixteen.run({ data: packet }).retval | 0).toBe(-11)
      expect(drained(ring)).toHaveLength(stored)
      for (let i = 0; i < 300; i++) {
        expect(sixteen.run({ data: packet }).retval).toBe(0)
        expect(drained(ring)).toHaveLength(1)
      }
    })

    it('has no elements', () => {
      const ring = map(MapType.RINGBUF, 0, 0, 4096)
      expect(failure(() => ring.lookup(new Uint8Array(0)))).toBe('ENOTSUPP')
      expect(failure(() => ring.update(new Uint8Array(0), new Uint8Array(0)))).toBe('ENOTSUPP')
    })

    it('has records only', () => {
      expect(failure(() => map(MapType.ARRAY, 4, 4, 1).drain(() => {}))).toBe('usage')
    })
  })

  describe('perf event array', () => {
    it('delivers what programs output on the current CPU', async () => {
      const events = map(MapType.PERF_EVENT_ARRAY, 4, 4, harness.backend.cpus)
      const output = load(
        program(
          'output',
          ProgType.XDP,
          [
            op.store(8, 10, -8, 0x11223344),
            op.map(2),
            op.number(3, ...CURRENT_CPU),
            op.movReg(4, 10),
            op.add(4, -8),
            op.mov(5, 8),
            op.helper(HelperId.perf_event_output),
            op.exit,
          ],
          ['events'],
        ),
        { events },
      )
      expect(output.run({ data: packet, repeat: 3 }).retval).toBe(0)
      const seen: [bigint | null, boolean][] = []
      // The kernel pads records to a multiple of 8 after their 4-byte size.
      const count = events.drain((data, cpu) => seen.push([readU64(data), cpu >= 0 && cpu < harness.backend.cpus]))
      expect(count).toBe(3)
      expect(seen).toEqual([
        [0x11223344n, true],
        [0x11223344n, true],
        [0x11223344n, true],
      ])
      expect(events.lost).toBe(0)
      expect(drained(events)).toEqual([])
    })
  })
}
