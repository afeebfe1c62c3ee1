import { BtfBuilder, BtfKind } from '../btf/index.ts'
import { Cmd } from '../uapi/index.ts'
import { Attr } from './attr.ts'
import type { BtfFeatures } from './sanitize-btf.ts'
import { closeFd, tryBpf } from './syscall.ts'

let known: BtfFeatures | undefined

/** What the running kernel's BTF check knows of: tried once in a process, by loading a small BTF for each. */
export function btfFeatures(): BtfFeatures {
  known ??= {
    func: loads((builder, int) => addFunction(builder, int, 0)),
    globalFunc: loads((builder, int) => addFunction(builder, int, 1)),
    datasec: loads((builder, int) => addSection(builder, int, '.data')),
    float: loads((builder) => builder.add({ kind: BtfKind.FLOAT, name: 'float', size: 4 })),
    declTag: loads((builder, int) => {
      const variable = builder.add({ kind: BtfKind.VAR, name: 'x', type: int, linkage: 1 })
      builder.add({ kind: BtfKind.DECL_TAG, name: 'tag', type: variable, componentIndex: -1, kindFlag: false })
    }),
    typeTag: loads((builder, int) => {
      const tag = builder.add({ kind: BtfKind.TYPE_TAG, name: 'tag', type: int, kindFlag: false })
      builder.add({ kind: BtfKind.PTR, name: '', type: tag, kindFlag: false })
    }),
    enum64: loads((builder) => {
      builder.add({ kind: BtfKind.ENUM64, name: 'e', size: 8, signed: true, values: [{ name: 'E', value: 1n }] })
    }),
    questionMark: loads((builder, int) => addSection(builder, int, '?.data')),
  }
  return known
}

function addFunction(builder: BtfBuilder, int: number, linkage: 0 | 1): void {
  const params = [{ name: 'a', type: int }]
  const proto = builder.add({ kind: BtfKind.FUNC_PROTO, name: '', returnType: int, params })
  builder.add({ kind: BtfKind.FUNC, name: 'f', type: proto, linkage })
}

function addSection(builder: BtfBuilder, int: number, name: string): void {
  const variable = builder.add({ kind: BtfKind.VAR, name: 'x', type: int, linkage: 1 })
  builder.add({ kind: BtfKind.DATASEC, name, size: 4, vars: [{ type: variable, offset: 0, size: 4 }] })
}

function loads(add: (builder: BtfBuilder, int: number) => void): boolean {
  const builder = new BtfBuilder()
  add(builder, builder.addInt('int', 4, true))
  const blob = builder.build()
  const fd = tryBpf(Cmd.BTF_LOAD, new Attr('BTF_LOAD', { btf: blob, btf_size: blob.length }))
  if (fd >= 0) closeFd(fd)
  return fd >= 0
}
