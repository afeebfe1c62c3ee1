// A small world for tests of kernel functions: kernel BTF with their prototypes, and BTF of a program with objects.
import { type Btf, BtfBuilder, BtfKind } from '../../../src/btf/index.ts'
import { assemble } from '../../../src/isa/index.ts'
import { bareProgram, type LateReference, mapSpec, type MapSpec } from '../../../src/loader/index.ts'
import { MapType, ProgType } from '../../../src/uapi/index.ts'
import { verify, type VerifyResult } from '../../../src/vm/verifier/index.ts'

export interface Types {
  readonly builder: BtfBuilder
  readonly int: number
  readonly long: number
}

/** A builder with the number types. */
export function types(): Types {
  const builder = new BtfBuilder()
  return { builder, int: builder.addInt('int', 4, true), long: builder.addInt('long', 8, true) }
}

type Field = readonly [name: string, type: number, offset: number]

export function struct(builder: BtfBuilder, name: string, size: number, fields: readonly Field[]): number {
  const members = fields.map(([field, type, at]) => ({ name: field, type, bitOffset: at * 8, bitSize: 0 }))
  return builder.add({ kind: BtfKind.STRUCT, name, size, members })
}

export const pointer = (builder: BtfBuilder, type: number): number => builder.add({ kind: BtfKind.PTR, type })

/** Prototypes as in Linux 6.18: `*x` is a pointer to struct x, `void`, `int` and `long` are themselves. */
const PROTOTYPES: Readonly<Record<string, readonly [returns: string, ...params: (readonly [string, string])[]]>> = {
  bpf_obj_new_impl: ['*void', ['local_type_id__k', 'long'], ['meta__ign', '*void']],
  bpf_obj_drop_impl: ['void', ['p__alloc', '*void'], ['meta__ign', '*void']],
  bpf_refcount_acquire_impl: ['*void', ['p__refcounted_kptr', '*void'], ['meta__ign', '*void']],
  bpf_list_push_back_impl: [
    'int',
    ['head', '*bpf_list_head'],
    ['node', '*bpf_list_node'],
    ['meta__ign', '*void'],
    ['off', 'long'],
  ],
  bpf_list_pop_front: ['*bpf_list_node', ['head', '*bpf_list_head']],
  bpf_rbtree_first: ['*bpf_rb_node', ['root', '*bpf_rb_root']],
  bpf_rbtree_remove: ['*bpf_rb_node', ['root', '*bpf_rb_root'], ['node', '*bpf_rb_node']],
  bpf_rcu_read_lock: ['void'],
  bpf_rcu_read_unlock: ['void'],
  bpf_preempt_disable: ['void'],
  bpf_preempt_enable: ['void'],
  bpf_local_irq_save: ['void', ['flags__irq_flag', '*long']],
  bpf_local_irq_restore: ['void', ['flags__irq_flag', '*long']],
  bpf_res_spin_lock: ['int', ['lock', '*bpf_res_spin_lock']],
  bpf_res_spin_unlock: ['void', ['lock', '*bpf_res_spin_lock']],
  bpf_copy_from_user_str: [
    'int',
    ['dst', '*void'],
    ['dst__sz', 'int'],
    ['unsafe_ptr__ign', '*void'],
    ['flags', 'long'],
  ],
  bpf_task_from_pid: ['*task_struct', ['pid', 'int']],
  bpf_task_release: ['void', ['p', '*task_struct']],
  bpf_throw: ['void', ['cookie', 'long']],
  bpf_cast_to_kern_ctx: ['*void', ['obj', '*void']],
  bpf_iter_task_new: ['int', ['it', '*bpf_iter_task'], ['task__nullable', '*task_struct'], ['flags', 'int']],
  bpf_iter_task_destroy: ['void', ['it', '*bpf_iter_task']],
  bpf_iter_num_new: ['int', ['it', '*bpf_iter_num'], ['start', 'int'], ['end', 'int']],
  bpf_iter_num_next: ['*int', ['it', '*bpf_iter_num']],
  bpf_iter_num_destroy: ['void', ['it', '*bpf_iter_num']],
  bpf_wq_init: ['int', ['wq', '*bpf_wq'], ['p__map', '*void'], ['flags', 'int']],
  bpf_wq_set_callback_impl: [
    'int',
    ['wq', '*bpf_wq'],
    ['callback_fn', '*callback'],
    ['flags', 'int'],
    ['aux__prog', '*void'],
  ],
  bpf_wq_start: ['int', ['wq', '*bpf_wq'], ['flags', 'int']],
}

const KERNEL_STRUCTS = ['bpf_list_head', 'bpf_list_node', 'bpf_rb_root', 'bpf_rb_node', 'bpf_res_spin_lock', 'bpf_wq']

function kernelWorld(): { btf: Btf; ids: ReadonlyMap<string, number> } {
  const { builder, int, long } = types()
  const named = new Map<string, number>([
    ['void', 0],
    ['*void', pointer(builder, 0)],
    ['int', int],
    ['long', long],
    ['*long', pointer(builder, long)],
    ['*int', pointer(builder, int)],
  ])
  const task = struct(builder, 'task_struct', 16, [['stack', named.get('*void') ?? 0, 0]])
  named.set('*task_struct', pointer(builder, task))
  const parameters = ['map', 'key', 'value'].map((name) => ({ name, type: named.get('*void') ?? 0 }))
  named.set(
    '*callback',
    pointer(builder, builder.add({ kind: BtfKind.FUNC_PROTO, returnType: int, params: parameters })),
  )
  for (const name of KERNEL_STRUCTS) {
    named.set(`*${name}`, pointer(builder, struct(builder, name, 16, [['value', long, 0]])))
  }
  const words = ['a', 'b', 'c'].map((name, i) => [name, long, i * 8] as const)
  named.set('*bpf_iter_task', pointer(builder, struct(builder, 'bpf_iter_task', 24, words)))
  named.set('*bpf_iter_num', pointer(builder, struct(builder, 'bpf_iter_num', 8, words.slice(0, 1))))
  // What stands behind the contexts of two program types.
  const packet = struct(builder, 'sk_buff', 8, [['len', int, 0]])
  struct(builder, 'bpf_ctx_convert', 16, [
    ['BPF_PROG_TYPE_SCHED_CLS_kern', packet, 0],
    ['BPF_PROG_TYPE_SYSCALL_kern', named.get('*void') ?? 0, 8],
  ])
  const ids = new Map<string, number>()
  for (const [name, [returns, ...params]] of Object.entries(PROTOTYPES)) {
    const proto = builder.add({
      kind: BtfKind.FUNC_PROTO,
      returnType: named.get(returns) ?? 0,
      params: params.map(([param, type]) => ({ name: param, type: named.get(type) ?? 0 })),
    })
    ids.set(name, builder.add({ kind: BtfKind.FUNC, name, type: proto, linkage: 1 }))
  }
  return { btf: builder.toBtf(), ids }
}

/** Offsets in the program's structures. */
export const ITEM = { size: 72, key: 0, list: 8, tree: 32, refcount: 56 } as const
export const VALUE = { size: 64, lock: 0, head: 8, root: 24, plain: 40, resLock: 0 } as const

/**
 * struct item { long key; bpf_list_node list; bpf_rb_node tree; bpf_refcount refs; }
 * struct value { bpf_spin_lock lock; bpf_list_head head (of item.list); bpf_rb_root root (of item.tree); long plain; }
 * struct resilient { bpf_res_spin_lock lock; long plain; }
 */
function programWorld(): { btf: Btf; item: number; value: number; resilient: number } {
  const { builder, int, long } = types()
  const special = (name: string, size: number): number => struct(builder, name, size, [['opaque', int, 0]])
  const [lock, resLock, refcount] = [
    special('bpf_spin_lock', 4),
    special('bpf_res_spin_lock', 8),
    special('bpf_refcount', 4),
  ]
  const [head, node] = [special('bpf_list_head', 16), special('bpf_list_node', 24)]
  const [root, branch] = [special('bpf_rb_root', 16), special('bpf_rb_node', 24)]
  const item = struct(builder, 'item', ITEM.size, [
    ['key', long, ITEM.key],
    ['list', node, ITEM.list],
    ['tree', branch, ITEM.tree],
    ['refs', refcount, ITEM.refcount],
  ])
  const value = struct(builder, 'value', VALUE.size, [
    ['lock', lock, VALUE.lock],
    ['head', head, VALUE.head],
    ['root', root, VALUE.root],
    ['plain', long, VALUE.plain],
  ])
  const resilient = struct(builder, 'resilient', 16, [
    ['lock', resLock, VALUE.resLock],
    ['plain', long, 8],
  ])
  const tag = (component: number, name: string): number =>
    builder.add({ kind: BtfKind.DECL_TAG, name, type: value, componentIndex: component, kindFlag: false })
  tag(1, 'contains:item:list')
  tag(2, 'contains:item:tree')
  return { btf: builder.toBtf(), item, value, resilient }
}

/** A kernel with the functions above. */
export const kernel: { readonly btf: Btf; readonly ids: ReadonlyMap<string, number> } = kernelWorld()
const world = programWorld()

/** Type of `item` for bpf_obj_new. */
export const ITEM_ID: number = world.item

function map(name: string, valueSize: number, valueTypeId: number): MapSpec {
  return mapSpec({ name, type: MapType.ARRAY, keySize: 4, valueSize, maxEntries: 1, keyTypeId: 1, valueTypeId })
}

const MAPS = {
  value: map('value', VALUE.size, world.value),
  resilient: map('resilient', 16, world.resilient),
}

/**
 * The verdict on a program. `call bpf_...` calls a kernel function of the list above; `rN = &value` and `rN = &resilient`
 * load the address of the map's only value.
 */
export function judge(text: string, type: number = ProgType.SCHED_CLS, flags: number = 0): VerifyResult {
  const lateReferences: LateReference[] = []
  const lines: string[] = []
  let slot = 0
  for (const line of text.trim().split('\n')) {
    const bare = line.trim()
    const name = /^call (\w+)$/.exec(bare)?.[1] ?? ''
    const btfId = kernel.ids.get(name)
    const target = /^(r\d) = &(value|resilient)$/.exec(bare)
    if (btfId !== undefined) {
      lateReferences.push({ kind: 'kfunc', insn: slot, name, btfId, module: null, weak: false })
      lines.push(`call kernel-function#${btfId}`)
    } else if (target !== null) {
      lateReferences.push({ kind: 'mapValue', insn: slot, map: target[2] as string, offset: 0 })
      lines.push(`${target[1]} = 0 ll`)
      slot++
    } else lines.push(bare)
    if (bare !== '' && !bare.endsWith(':')) slot++
  }
  const program = bareProgram(assemble(lines.join('\n')), { name: 'p', type, flags }, { lateReferences })
  return verify(program, { maps: MAPS, btf: world.btf, kernelBtf: kernel.btf, license: 'GPL' })
}
