import { Errno } from '../../../uapi/index.ts'
import { Trap } from '../../trap.ts'
import type { Helper } from '../helpers/helper.ts'
import { endNode, popNode, pushNode } from '../list.ts'
import type { Runtime } from '../runtime.ts'

/** bpf_obj_new_impl(type id in the program's BTF, meta). */
function make(perCpu: boolean): Helper {
  return (rt, typeId) => {
    const btf = rt.run?.programs.at(-1)?.btf ?? null
    if (btf === null) throw new Trap('call', 'bpf_obj_new in a program without BTF')
    return rt.objects.make(btf, typeId, perCpu)
  }
}

const drop: Helper = (rt, object) => {
  rt.objects.drop(object)
  return 0
}

/** A node that is in a list or tree already is not added, and the reference that was given for it is dropped. */
function refuse(rt: Runtime, node: number): number {
  rt.objects.drop(rt.objects.containing(node))
  return -Errno.EINVAL
}

function push(tail: boolean): Helper {
  return (rt) => {
    const head = rt.pointer(1, 16, 'a list head')
    const node = rt.pointer(2, 24, 'a list node')
    return pushNode(rt.memory, head, node, tail) ? 0 : refuse(rt, node)
  }
}

function pop(tail: boolean): Helper {
  return (rt) => popNode(rt.memory, rt.pointer(1, 16, 'a list head'), tail)
}

function end(tail: boolean): Helper {
  return (rt) => endNode(rt.memory, rt.pointer(1, 16, 'a list head'), tail)
}

/** bpf_rbtree_add_impl(root, node, less, meta, offset). */
const treeAdd: Helper = (rt, _root, _node, less) => {
  const root = rt.pointer(1, 16, 'a tree')
  const node = rt.pointer(2, 32, 'a tree node')
  const added = rt.trees.add(root, node, (a, b) => BigInt.asUintN(32, rt.callback(less, a, b)) !== 0n)
  return added ? 0 : refuse(rt, node)
}

const treeRemove: Helper = (rt, _root, node) => {
  const root = rt.pointer(1, 16, 'a tree')
  return rt.trees.remove(root, rt.pointer(2, 32, 'a tree node')) ? node : 0
}

function child(right: boolean): Helper {
  return (rt) => rt.trees.child(rt.pointer(1, 16, 'a tree'), rt.pointer(2, 32, 'a tree node'), right)
}

/** Kernel functions on objects that programs make, lists and trees of them, by name. */
export const OBJECT_KFUNCS: Readonly<Record<string, Helper>> = {
  bpf_obj_new_impl: make(false),
  bpf_percpu_obj_new_impl: make(true),
  bpf_obj_drop_impl: drop,
  bpf_percpu_obj_drop_impl: drop,
  bpf_refcount_acquire_impl: (rt, object) => rt.objects.acquire(object),
  bpf_list_push_front_impl: push(false),
  bpf_list_push_back_impl: push(true),
  bpf_list_pop_front: pop(false),
  bpf_list_pop_back: pop(true),
  bpf_list_front: end(false),
  bpf_list_back: end(true),
  bpf_rbtree_add_impl: treeAdd,
  // Linux 7.1 has them without the arguments that only the verifier fills in.
  bpf_obj_new: make(false),
  bpf_percpu_obj_new: make(true),
  bpf_obj_drop: drop,
  bpf_percpu_obj_drop: drop,
  bpf_refcount_acquire: (rt, object) => rt.objects.acquire(object),
  bpf_list_push_front: push(false),
  bpf_list_push_back: push(true),
  bpf_rbtree_add: treeAdd,
  bpf_rbtree_remove: treeRemove,
  bpf_rbtree_first: (rt) => rt.trees.first(rt.pointer(1, 16, 'a tree')),
  bpf_rbtree_root: (rt) => rt.trees.root(rt.pointer(1, 16, 'a tree')),
  bpf_rbtree_left: child(false),
  bpf_rbtree_right: child(true),
}
