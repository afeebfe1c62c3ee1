import { describe, expect, it } from 'vitest'
import { BtfBuilder, BtfKind, type Btf, type BtfMember } from '../../src/btf/index.ts'
import { CoreKind, coreLayoutText, type CoreRelocation } from '../../src/loader/index.ts'
import { patchInsn, POISON_CORE } from '../../src/loader/core/patch.ts'
import { CoreReport } from '../../src/loader/core/record.ts'
import { CoreResolver, type CoreResolution } from '../../src/loader/core/resolve.ts'
import { wideValue } from '../../src/loader/core/value.ts'
import { assemble, op } from '../support/program.ts'
import { thrown } from '../support/thrown.ts'

/** Builds BTF in C's terms. */
class Types {
  readonly builder: BtfBuilder
  readonly u8: number
  readonly u16: number
  readonly u32: number
  readonly u64: number
  readonly s32: number
  readonly pointer: number

  constructor(littleEndian: boolean = true) {
    this.builder = new BtfBuilder({ littleEndian })
    this.u8 = this.int('u8', 1, false)
    this.u16 = this.int('u16', 2, false)
    this.u32 = this.int('u32', 4, false)
    this.u64 = this.int('u64', 8, false)
    this.s32 = this.int('s32', 4, true)
    this.pointer = this.builder.add({ kind: BtfKind.PTR, type: 0 })
  }

  int(name: string, size: number, signed: boolean): number {
    return this.builder.addInt(name, size, signed)
  }

  struct(name: string, size: number, members: readonly (readonly [string, number, number, number?])[]): number {
    return this.builder.add({ kind: BtfKind.STRUCT, name, size, members: members.map(member) })
  }

  enumeration(name: string, values: Readonly<Record<string, bigint>>, size: number = 4): number {
    const list = Object.entries(values).map(([valueName, value]) => ({ name: valueName, value }))
    const signed = list.some(({ value }) => value < 0n)
    if (size === 8) return this.builder.add({ kind: BtfKind.ENUM64, name, size, signed, values: list })
    return this.builder.add({ kind: BtfKind.ENUM, name, size, signed, values: list })
  }

  array(elementType: number, length: number): number {
    return this.builder.add({ kind: BtfKind.ARRAY, elementType, indexType: this.u32, length })
  }

  btf(): Btf {
    return this.builder.toBtf()
  }
}

/** Name, type, byte offset; with bits it is a bit-field at a bit offset. */
function member([name, type, offset, bitSize]: readonly [string, number, number, number?]): BtfMember {
  return { name, type, bitOffset: bitSize === undefined ? offset * 8 : offset, bitSize: bitSize ?? 0 }
}

function resolver(local: Types, target: Types, modules: readonly Btf[] = []): CoreResolver {
  return new CoreResolver(local.btf(), { main: target.btf(), modules: () => modules }, true)
}

/** Value for the target; 'poison' for none. */
function value(resolution: CoreResolution): bigint | 'poison' {
  return resolution.value.target === null ? 'poison' : wideValue(resolution.value.target)
}

function ask(core: CoreResolver, typeId: number, access: string, kind: number): bigint | 'poison' {
  return value(core.resolve({ insn: 0, typeId, access, kind }))
}

describe('CO-RE fields', () => {
  it('follows members by name, through anonymous structs and arrays', () => {
    const local = new Types()
    const inner = local.struct('inner', 8, [
      ['a', local.u32, 0],
      ['b', local.u32, 4],
    ])
    const outer = local.struct('outer', 24, [
      ['x', local.u64, 0],
      ['list', local.array(inner, 2), 8],
    ])
    const target = new Types()
    const wide = target.struct('inner', 16, [
      ['new', target.u64, 0],
      ['b', target.u32, 8],
      ['a', target.u32, 12],
    ])
    const anonymous = target.struct('', 64, [['list', target.array(wide, 4), 0]])
    target.struct('outer', 80, [
      ['x', target.u64, 0],
      ['', anonymous, 16],
    ])
    const core = resolver(local, target)
    // outer.list[1].b
    expect(ask(core, outer, '0:1:1:1', CoreKind.FIELD_BYTE_OFFSET)).toBe(40n)
    expect(ask(core, outer, '0:1:1:1', CoreKind.FIELD_BYTE_SIZE)).toBe(4n)
    expect(ask(core, outer, '0:1', CoreKind.FIELD_BYTE_SIZE)).toBe(64n)
    expect(ask(core, outer, '0:1:1', CoreKind.FIELD_BYTE_OFFSET)).toBe(32n)
    expect(ask(core, outer, '2:0', CoreKind.FIELD_BYTE_OFFSET)).toBe(160n)
    expect(ask(core, outer, '0:0', CoreKind.FIELD_EXISTS)).toBe(1n)
    expect(thrown(() => ask(core, outer, '0:1:2', CoreKind.FIELD_BYTE_OFFSET)).message).toMatch(
      /element 2 of an array of 2/,
    )
    expect(thrown(() => ask(core, outer, '0:7', CoreKind.FIELD_BYTE_OFFSET)).message).toMatch(
      /member 7 of struct outer/,
    )
    expect(thrown(() => ask(core, outer, '0:1:1', CoreKind.FIELD_SIGNED)).code).toBe('core')
  })

  it('gives poison or 0 for what is not there, and says why', () => {
    const local = new Types()
    const id = local.struct('task', 8, [
      ['pid', local.s32, 0],
      ['gone', local.u32, 4],
    ])
    const absent = local.struct('absent', 4, [['x', local.u32, 0]])
    const target = new Types()
    target.struct('task', 8, [['pid', target.pointer, 0]])
    const core = resolver(local, target)
    expect(ask(core, id, '0:1', CoreKind.FIELD_BYTE_OFFSET)).toBe('poison')
    expect(ask(core, id, '0:1', CoreKind.FIELD_EXISTS)).toBe(0n)
    expect(ask(core, absent, '0:0', CoreKind.FIELD_EXISTS)).toBe(0n)
    expect(ask(core, absent, '0:0', CoreKind.FIELD_RSHIFT_U64)).toBe('poison')
    expect(ask(core, absent, '0', CoreKind.TYPE_SIZE)).toBe(0n)
    expect(ask(core, absent, '0', CoreKind.TYPE_ID_TARGET)).toBe(0n)

    const reasonOf = (access: string): string | null | undefined => {
      const relocation = { insn: 3, typeId: id, access, kind: CoreKind.FIELD_BYTE_OFFSET }
      const resolution = core.resolve(relocation)
      const outcome = { relocation, resolution, outcome: 'poisoned', reason: 'x' } as const
      const record = new CoreReport(outcome, 3, 'f', () => [])
      expect(record.candidates).toHaveLength(1)
      expect(record.matched).toBe(null)
      return record.candidates[0]?.reason
    }
    expect(reasonOf('0:1')).toBe('struct task has no member gone')
    expect(reasonOf('0:0')).toBe('member pid has type void *, the local one s32')
  })

  it('treats flavours as the same type, and demands that candidates agree', () => {
    const local = new Types()
    const id = local.struct('task___mine', 4, [['pid', local.u32, 0]])
    const both = local.struct('pair', 8, [
      ['first', local.u32, 0],
      ['second', local.u32, 4],
    ])
    const target = new Types()
    target.struct('task', 16, [['pid', target.u32, 12]])
    target.struct('task___x___y', 4, [['pid', target.u32, 0]])
    target.struct('pair', 8, [
      ['first', target.u32, 0],
      ['second', target.u32, 4],
    ])
    target.struct('pair___2', 8, [
      ['first', target.u32, 0],
      ['third', target.u32, 4],
    ])
    const core = resolver(local, target)
    // The last ___ counts, so task___x___y is a flavour of task___x.
    expect(ask(core, id, '0:0', CoreKind.FIELD_BYTE_OFFSET)).toBe(12n)
    expect(ask(core, both, '0:0', CoreKind.FIELD_BYTE_OFFSET)).toBe(0n)
    // Only one candidate has it, which leaves the other one out from here on.
    expect(ask(core, both, '0:1', CoreKind.FIELD_BYTE_OFFSET)).toBe(4n)
    expect(core.resolve({ insn: 0, typeId: both, access: '0:0', kind: CoreKind.FIELD_EXISTS }).candidates).toHaveLength(
      1,
    )

    target.struct('pair___3', 16, [['first', target.u32, 8]])
    const error = thrown(() => ask(resolver(local, target), both, '0:0', CoreKind.FIELD_BYTE_OFFSET))
    expect(error.code).toBe('ambiguous')
    expect(error.message).toMatch(/struct pair.first is ambiguous/)
  })

  it('looks in modules only for types that the kernel has not', () => {
    const local = new Types()
    const inKernel = local.struct('common', 4, [['x', local.u32, 0]])
    const inModule = local.struct('special', 4, [['x', local.u32, 0]])
    const target = new Types()
    target.struct('common', 8, [['x', target.u32, 4]])
    const base = target.btf()
    const module = new BtfBuilder({ base })
    const u32 = base.findByName('u32') ?? 0
    module.add({ kind: BtfKind.STRUCT, name: 'common', size: 32, members: [member(['x', u32, 28])] })
    module.add({ kind: BtfKind.STRUCT, name: 'special', size: 32, members: [member(['x', u32, 16])] })
    const core = new CoreResolver(local.btf(), { main: base, modules: () => [module.toBtf()] }, true)
    expect(ask(core, inKernel, '0:0', CoreKind.FIELD_BYTE_OFFSET)).toBe(4n)
    expect(ask(core, inModule, '0:0', CoreKind.FIELD_BYTE_OFFSET)).toBe(16n)
  })

  it('takes, by the policy of cilium/ebpf, the candidates that lack least', () => {
    const local = new Types()
    const task = local.struct('task', 12, [
      ['pid', local.u32, 0],
      ['state', local.u32, 4],
      ['new_state', local.u32, 8],
    ])
    const asks = (...members: number[]): CoreRelocation[] =>
      members.map((index) => ({ insn: 0, typeId: task, access: `0:${index}`, kind: CoreKind.FIELD_BYTE_OFFSET }))
    const narrowed = (targets: readonly Types[], relocations: readonly CoreRelocation[]): (bigint | 'poison')[] => {
      const [main, ...extra] = targets.map((types) => types.btf())
      if (main === undefined) throw new Error('no target')
      const core = new CoreResolver(local.btf(), { main, modules: () => extra }, true, 'cilium')
      core.narrow(task, relocations)
      return relocations.map((relocation) => value(core.resolve(relocation)))
    }
    const poor = new Types()
    poor.struct('task', 4, [['pid', poor.u32, 0]])
    const rich = new Types()
    rich.struct('task', 24, [
      ['pid', rich.u32, 16],
      ['state', rich.u32, 20],
    ])
    // The kernel's own type has pid as well, but the other target has more of what the program asks for.
    expect(narrowed([poor, rich], asks(0, 1, 2))).toEqual([16n, 20n, 'poison'])
    // Where one is as good as the other, their answers must agree.
    expect(thrown(() => narrowed([poor, rich], asks(0))).code).toBe('ambiguous')
    const other = new Types()
    other.struct('task', 24, [
      ['pid', other.u32, 16],
      ['new_state', other.u32, 20],
    ])
    expect(narrowed([other, rich], asks(0))).toEqual([16n])
    const error = thrown(() => narrowed([other, rich], asks(0, 1, 2)))
    expect(error.code).toBe('ambiguous')
    expect(error.message).toMatch(/types \[\d+\] and \[\d+\] of the target have as much of task each/)
    expect(narrowed([new Types()], asks(0))).toEqual(['poison'])
  })

  it('reads bit-fields in the smallest aligned unit, in both byte orders', () => {
    for (const littleEndian of [true, false]) {
      const local = new Types(littleEndian)
      const id = local.struct('flags', 8, [
        ['a', local.u32, 0, 3],
        ['b', local.s32, 3, 7],
        ['c', local.u8, 30, 4],
      ])
      const target = new Types(littleEndian)
      target.struct('flags', 16, [
        ['pad', target.u64, 0],
        ['a', target.u32, 64 + 5, 3],
        ['b', target.s32, 64 + 20, 7],
        ['c', target.u8, 64 + 30, 4],
      ])
      const core = new CoreResolver(local.btf(), { main: target.btf(), modules: () => [] }, littleEndian)
      expect(ask(core, id, '0:0', CoreKind.FIELD_BYTE_OFFSET)).toBe(8n)
      expect(ask(core, id, '0:0', CoreKind.FIELD_BYTE_SIZE)).toBe(4n)
      expect(ask(core, id, '0:0', CoreKind.FIELD_LSHIFT_U64)).toBe(littleEndian ? 64n - 8n : 37n)
      expect(ask(core, id, '0:0', CoreKind.FIELD_RSHIFT_U64)).toBe(61n)
      expect(ask(core, id, '0:0', CoreKind.FIELD_SIGNED)).toBe(0n)
      expect(ask(core, id, '0:1', CoreKind.FIELD_SIGNED)).toBe(1n)
      // Bits 94 to 97 cross a byte, a half word and a word of their type's unit.
      expect(ask(core, id, '0:2', CoreKind.FIELD_BYTE_SIZE)).toBe(8n)
      expect(ask(core, id, '0:2', CoreKind.FIELD_BYTE_OFFSET)).toBe(8n)
    }
  })
})

describe('CO-RE reports', () => {
  it('lays the struct without the field beside the local one, with names that it may have now', () => {
    const local = new Types()
    const inner = local.struct('mm', 16, [['gone', local.u64, 8]])
    const id = local.struct('task', 16, [
      ['state', local.u64, 0],
      ['pid', local.s32, 8],
      ['bits', local.u32, 96, 3],
    ])
    const target = new Types()
    target.struct('mm', 8, [['kept', target.u64, 0]])
    const anonymous = target.struct('', 8, [
      ['__state', target.u32, 0],
      ['pid', target.s32, 4],
    ])
    target.struct('task', 32, [
      ['', anonymous, 16],
      ['bits', target.u32, 29, 3],
    ])
    const core = resolver(local, target)
    const report = (typeId: number, access: string): CoreReport => {
      const relocation = { insn: 0, typeId, access, kind: CoreKind.FIELD_BYTE_OFFSET }
      const outcome = { relocation, resolution: core.resolve(relocation), outcome: 'poisoned', reason: 'none' } as const
      return new CoreReport(outcome, 0, 'f', () => [])
    }
    const [candidate] = report(id, '0:0').candidates
    expect(candidate).toMatchObject({ matches: false, reason: 'struct task has no member state' })
    expect(candidate?.layout === null || candidate === undefined ? [] : coreLayoutText(candidate.layout)).toEqual([
      'member  object: struct task (16 bytes)  target: struct task (32 bytes)',
      'state   u64 at 0, 8 bytes               - (similar: __state)',
      'pid     s32 at 8, 4 bytes               s32 at 20, 4 bytes',
      'bits    u32 bit 96, 3 bits              u32 bit 29, 3 bits',
      '(1 more member in the target)',
    ])
    expect(report(id, '0:1').candidates[0]).toMatchObject({ matches: true, layout: null })
    const absent = report(inner, '0:0').candidates[0]?.layout
    expect(absent?.rows).toMatchObject([{ name: 'gone', target: null, similar: [] }])
  })
})

describe('CO-RE types and enumerators', () => {
  it('answers about types', () => {
    const local = new Types()
    const known = local.struct('known', 4, [['x', local.u32, 0]])
    const alias = local.builder.add({ kind: BtfKind.TYPEDEF, name: 'alias_t', type: known })
    const other = local.builder.add({ kind: BtfKind.UNION, name: 'known', size: 4, members: [] })
    const target = new Types()
    const id = target.struct('known', 12, [['y', target.u32, 0]])
    target.builder.add({ kind: BtfKind.TYPEDEF, name: 'alias_t', type: id })
    const core = resolver(local, target)
    expect(ask(core, known, '0', CoreKind.TYPE_EXISTS)).toBe(1n)
    expect(ask(core, known, '0', CoreKind.TYPE_SIZE)).toBe(12n)
    expect(ask(core, known, '0', CoreKind.TYPE_ID_TARGET)).toBe(BigInt(id))
    expect(ask(core, known, '0', CoreKind.TYPE_ID_LOCAL)).toBe(BigInt(known))
    expect(ask(core, known, '0', CoreKind.TYPE_MATCHES)).toBe(0n)
    expect(ask(core, alias, '0', CoreKind.TYPE_EXISTS)).toBe(1n)
    expect(ask(core, other, '0', CoreKind.TYPE_EXISTS)).toBe(0n)
    expect(thrown(() => ask(core, known, '0:0', CoreKind.TYPE_EXISTS)).message).toMatch(/must be '0'/)
    expect(thrown(() => ask(core, known, '0', 13)).message).toMatch(/kind 13 is unknown/)
    expect(thrown(() => ask(core, 9999, '0', CoreKind.TYPE_EXISTS)).code).toMatch(/core|not-found/)
    expect(thrown(() => ask(core, known, '0::1', CoreKind.FIELD_EXISTS)).code).toBe('core')
  })

  it('matches types by the names and kinds of all that they have', () => {
    const make = (types: Types, more: boolean, intSize: 'u32' | 'u64'): number => {
      const pointed = types.struct('pointed', 4, more ? [['z', types.u32, 0]] : [['different', types.u32, 0]])
      const pointer = types.builder.add({ kind: BtfKind.PTR, type: pointed })
      const members: [string, number, number][] = [
        ['a', types[intSize], 0],
        ['p', pointer, 8],
        ['list', types.array(types.u8, 3), 16],
      ]
      if (more) members.push(['extra', types.u32, 24])
      return types.struct('thing', 32, members)
    }
    const local = new Types()
    const id = make(local, false, 'u32')
    const same = new Types()
    make(same, true, 'u32')
    expect(ask(resolver(local, same), id, '0', CoreKind.TYPE_MATCHES)).toBe(1n)
    const wider = new Types()
    make(wider, true, 'u64')
    expect(ask(resolver(local, wider), id, '0', CoreKind.TYPE_MATCHES)).toBe(0n)
    expect(ask(resolver(same, local), same.builder.typeCount - 1, '0', CoreKind.TYPE_MATCHES)).toBe(0n)
  })

  it('finds enumerators by name, in enums of either width', () => {
    const local = new Types()
    const id = local.enumeration('colour', { RED: 0n, GREEN___old: 1n, NONE: 7n })
    const target = new Types()
    target.enumeration('colour', { BLUE: 0n, RED: -5n, GREEN: 0x1_0000_0002n }, 8)
    const core = resolver(local, target)
    expect(ask(core, id, '0', CoreKind.ENUMVAL_VALUE)).toBe(0xffff_ffff_ffff_fffbn)
    expect(ask(core, id, '1', CoreKind.ENUMVAL_VALUE)).toBe(0x1_0000_0002n)
    expect(ask(core, id, '1', CoreKind.ENUMVAL_EXISTS)).toBe(1n)
    expect(ask(core, id, '2', CoreKind.ENUMVAL_EXISTS)).toBe(0n)
    expect(ask(core, id, '2', CoreKind.ENUMVAL_VALUE)).toBe('poison')
    expect(thrown(() => ask(core, id, '3', CoreKind.ENUMVAL_VALUE)).message).toMatch(/names no enumerator/)
  })
})

describe('patching', () => {
  const local = new Types()
  const id = local.struct('s', 32, [
    ['unsigned', local.u32, 8],
    ['signed', local.s32, 12],
    ['pointer', local.pointer, 16],
    ['gone', local.u32, 24],
    ['far', local.u32, 28],
  ])
  const target = new Types()
  const wideSigned = target.int('s64', 8, true)
  target.struct('s', 65536, [
    ['unsigned', target.u64, 40],
    ['signed', wideSigned, 48],
    ['pointer', target.pointer, 56],
    ['far', target.u32, 40000],
  ])
  const core = resolver(local, target)
  const offset = (access: string): CoreResolution =>
    core.resolve({ insn: 0, typeId: id, access, kind: CoreKind.FIELD_BYTE_OFFSET })

  it('changes offsets, and sizes of unsigned accesses', () => {
    const insns = assemble([op.load(4, 1, 2, 8), op.store(8, 1, 16, 0)])
    expect(patchInsn(insns, 0, offset('0:0').value, '').outcome).toBe('applied')
    expect(insns.off[0]).toBe(40)
    expect(insns.code[0]).toBe(0x79) // ldx dw
    expect(patchInsn(insns, 1, offset('0:2').value, '').outcome).toBe('applied')
    expect(insns.off[1]).toBe(56)
  })

  it('poisons accesses that cannot be adjusted, and what is not there', () => {
    const insns = assemble([op.load(4, 1, 2, 12), op.add(1, 24), op.number(3, 24, 0)])
    expect(patchInsn(insns, 0, offset('0:1').value, '')).toMatchObject({
      outcome: 'poisoned',
      reason: /4 bytes here, 8/,
    })
    expect(patchInsn(insns, 1, offset('0:3').value, 'gone')).toEqual({ outcome: 'poisoned', reason: 'gone' })
    expect(patchInsn(insns, 2, offset('0:3').value, 'gone')).toEqual({ outcome: 'poisoned', reason: 'gone' })
    for (let i = 0; i < 4; i++) {
      expect([insns.code[i], insns.dst[i], insns.src[i], insns.off[i], insns.imm[i]]).toEqual([
        0x85,
        0,
        0,
        0,
        POISON_CORE,
      ])
    }
  })

  it('checks that the instruction holds what its own types say', () => {
    const insns = assemble([op.load(4, 1, 2, 9), op.mov(1, 17), op.number(3, 8, 1), op.exit, op.load(4, 1, 2, 28)])
    const code = (at: number, access: string): string =>
      thrown(() => patchInsn(insns, at, offset(access).value, '')).message
    expect(code(0, '0:0')).toMatch(/offset is 9, not 8/)
    expect(code(1, '0:2')).toMatch(/immediate is 17, not 16/)
    expect(code(2, '0:0')).toMatch(/holds 8 and 1/)
    expect(code(4, '0:0')).toMatch(/code 0x95 cannot be relocated/)
    expect(code(5, '0:4')).toMatch(/40000 does not fit/)
  })

  it('writes 64-bit values into ld_imm64', () => {
    const insns = assemble([op.number(3, 8, 0)])
    patchInsn(insns, 0, offset('0:0').value, '')
    expect([insns.imm[0], insns.imm[1]]).toEqual([40, 0])
  })
})
