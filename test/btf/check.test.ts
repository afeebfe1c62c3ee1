import { describe, expect, test } from 'vitest'
import { Btf, BtfBuilder, BtfKind, checkBtf, type BtfTypeSpec } from '../../src/btf/index.ts'
import { thrown } from '../support/thrown.ts'
import { addInts } from './fixtures.ts'

/** Types 1 to 6 are integers (int, u8, u16, u32, u64, char); `types` come behind, from id 7. */
function built(...types: BtfTypeSpec[]): Btf {
  const builder = new BtfBuilder()
  addInts(builder)
  for (const type of types) builder.add(type)
  return builder.toBtf()
}

const INT = 1
const OWN = 7
const member = (type: number, bitOffset: number, bitSize: number = 0, name: string = 'm') => ({
  name,
  type,
  bitOffset,
  bitSize,
})
const struct = (size: number, ...members: ReturnType<typeof member>[]): BtfTypeSpec => ({
  kind: BtfKind.STRUCT,
  name: 's',
  size,
  members,
})
const variable: BtfTypeSpec = { kind: BtfKind.VAR, name: 'v', type: INT, linkage: 1 }
const section = (size: number, ...vars: { type: number; offset: number; size: number }[]): BtfTypeSpec => ({
  kind: BtfKind.DATASEC,
  name: '.data',
  size,
  vars,
})

// The same verdicts as the kernel's are checked by test/oracle/btf-check-vs-kernel.mjs on tens of thousands of inputs.
describe('checkBtf', () => {
  test('accepts what the kernel accepts', () => {
    expect(() => checkBtf(built())).not.toThrow()
    const list = struct(8, member(OWN + 1, 0))
    expect(() => checkBtf(built(list, { kind: BtfKind.PTR, type: OWN }))).not.toThrow()
    expect(() => checkBtf(built(struct(4, member(INT, 0, 3), member(INT, 3, 29))))).not.toThrow()
    expect(() => checkBtf(built(variable, section(4, { type: OWN, offset: 0, size: 4 })))).not.toThrow()
    const tag: BtfTypeSpec = { kind: BtfKind.TYPE_TAG, name: 'user', type: INT }
    expect(() => checkBtf(built(tag, { kind: BtfKind.PTR, type: OWN }))).not.toThrow()
  })

  const refused: [string, BtfTypeSpec[], string][] = [
    ['a name that is no identifier', [{ kind: BtfKind.TYPEDEF, name: 'a b', type: INT }], "name is 'a b'"],
    ['a named pointer', [{ kind: BtfKind.PTR, name: 'p', type: INT }], 'expected no name'],
    ['a loop of typedefs', [{ kind: BtfKind.TYPEDEF, name: 't', type: OWN }], 'loop'],
    ['a struct inside of itself', [struct(4, member(OWN, 0))], 'loop'],
    ['a member outside of its struct', [struct(4, member(INT, 8))], 'ends outside of 4 bytes'],
    ['members out of order', [struct(8, member(INT, 32), member(INT, 0))], 'before the one at 32'],
    ['a bit-field wider than its type', [struct(8, member(INT, 0, 33))], '33 bits of an integer of 32'],
    [
      'an array with a struct as index',
      [struct(0), { kind: BtfKind.ARRAY, elementType: INT, indexType: OWN, length: 1 }],
      'index type 7',
    ],
    ['an array of void', [{ kind: BtfKind.ARRAY, elementType: 0, indexType: INT, length: 1 }], 'element type is void'],
    ['an enum of three bytes', [{ kind: BtfKind.ENUM, name: 'e', size: 3, signed: false, values: [] }], 'size 3'],
    ['an extern variable', [{ kind: BtfKind.VAR, name: 'v', type: INT, linkage: 2 }], 'linkage 2'],
    ['an empty section', [section(0)], 'size is 0'],
    [
      'variables that overlap',
      [variable, section(8, { type: OWN, offset: 0, size: 4 }, { type: OWN, offset: 2, size: 4 })],
      'variable 1 is at 2',
    ],
    ['a section of something else', [section(4, { type: INT, offset: 0, size: 4 })], 'is no variable'],
    [
      'a tag on a member that does not exist',
      [struct(4, member(INT, 0)), { kind: BtfKind.DECL_TAG, name: 't', type: OWN, componentIndex: 1 }],
      'component 1',
    ],
    [
      'a type tag behind a modifier',
      [
        { kind: BtfKind.CONST, type: OWN + 1 },
        { kind: BtfKind.TYPE_TAG, name: 'user', type: INT },
        { kind: BtfKind.PTR, type: OWN },
      ],
      'type tag follows',
    ],
    [
      'a function whose parameters have no names',
      [
        { kind: BtfKind.FUNC_PROTO, returnType: 0, params: [{ name: '', type: INT }] },
        { kind: BtfKind.FUNC, name: 'f', type: OWN, linkage: 1 },
      ],
      'parameter 0 has no name',
    ],
    ['a float of three bytes', [{ kind: BtfKind.FLOAT, name: 'f', size: 3 }], 'size 3'],
  ]
  test.each(refused)('refuses %s', (_, types, message) => {
    const error = thrown(() => checkBtf(built(...types)))
    expect(error.code).toBe('malformed')
    expect(error.message).toContain(message)
  })

  test('is what parse does when told', () => {
    const bytes = built(section(0)).bytes()
    expect(() => Btf.parse(bytes)).not.toThrow()
    expect(thrown(() => Btf.parse(bytes, { validate: 'kernel' })).message).toContain('size is 0')
  })

  test('refuses bytes between and behind the sections', () => {
    const bytes = built().bytes()
    const longer = new Uint8Array(bytes.length + 4)
    longer.set(bytes)
    expect(thrown(() => checkBtf(Btf.parse(longer))).message).toContain('sections have')
  })
})
