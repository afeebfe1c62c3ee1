import { describe, expect, test } from 'vitest'
import { ITEM, ITEM_ID, judge, VALUE } from './kernel-functions.ts'

const NEW = `
  r1 = ${ITEM_ID}
  r2 = 0
  call bpf_obj_new_impl
  if r0 == 0 goto out
  r6 = r0`
const DROP = `
  r1 = r6
  r2 = 0
  call bpf_obj_drop_impl`
const LOCK = `
  r7 = &value
  r1 = r7
  call bpf_spin_lock`
const UNLOCK = `
  r1 = r7
  call bpf_spin_unlock`
const PUSH = `
  r1 = r7
  r1 += ${VALUE.head}
  r2 = r6
  r2 += ${ITEM.list}
  r3 = 0
  r4 = 0
  call bpf_list_push_back_impl`
const POP = `
  r1 = r7
  r1 += ${VALUE.head}
  call bpf_list_pop_front`
const FIRST = `
  r1 = r7
  r1 += ${VALUE.root}
  call bpf_rbtree_first`
const END = `
  out:
  r0 = 0
  exit`

const accepted: Record<string, string> = {
  'an object that is used and dropped': `${NEW}\n*(u64 *)(r6 +0) = 5\nr1 = *(u64 *)(r6 +0)${DROP}${END}`,
  'an object given to a list': `${NEW}${LOCK}${PUSH}${UNLOCK}${END}`,
  'an object used after it was given to a list, while the lock is held': `${NEW}${LOCK}${PUSH}\n*(u64 *)(r6 +0) = 5${UNLOCK}${END}`,
  'an object taken from a list': `${LOCK}${POP}\nr6 = r0${UNLOCK}\nif r6 == 0 goto out\nr6 += ${-ITEM.list}${DROP}${END}`,
  'the first object of a tree, read under the lock': `${LOCK}${FIRST}\nif r0 == 0 goto unlock\nr0 += ${-ITEM.tree}\nr1 = *(u64 *)(r0 +0)\nunlock:${UNLOCK}${END}`,
  'a second reference that may outlive the lock': `${LOCK}${FIRST}
    if r0 == 0 goto none
    r1 = r0
    r1 += ${-ITEM.tree}
    r2 = 0
    call bpf_refcount_acquire_impl
    r6 = r0
    ${UNLOCK}
    if r6 == 0 goto out
    ${DROP}
    goto out
    none:
    ${UNLOCK}${END}`,
}

const refused: Record<string, { text: string; errno?: string; message: string }> = {
  'an object that is not dropped': {
    text: `${NEW}${END}`,
    message: 'BPF_EXIT instruction in main prog would lead to reference leak',
  },
  'an object after it was dropped': {
    text: `${NEW}${DROP}\nr1 = *(u64 *)(r6 +0)${END}`,
    errno: 'EACCES',
    message: "R6 invalid mem access 'scalar'",
  },
  'a node read or written directly': {
    text: `${NEW}\n*(u64 *)(r6 +${ITEM.list}) = 0${DROP}${END}`,
    errno: 'EACCES',
    message: 'direct access to bpf_list_node is disallowed',
  },
  'an object dropped at an offset': {
    text: `${NEW}\nr6 += 8${DROP}${END}`,
    message: 'R1 must have zero offset when passed to release func or trusted arg to kfunc',
  },
  'a list without its lock': {
    text: `r7 = &value${POP}${END}`,
    message: `bpf_spin_lock at off=${VALUE.lock} must be held for bpf_list_head`,
  },
  'a place that is no list': {
    text: `${LOCK}\nr1 = r7\ncall bpf_list_pop_front${UNLOCK}${END}`,
    message: 'bpf_list_head not found at offset=0',
  },
  'the wrong node of an object': {
    text: `${NEW}${LOCK}${PUSH.replace(`r2 += ${ITEM.list}`, `r2 += ${ITEM.key}`)}${UNLOCK}${END}`,
    message: 'bpf_list_node not found at offset=0',
  },
  'an object in a list after the lock was given back': {
    text: `${NEW}${LOCK}${PUSH}${UNLOCK}\n*(u64 *)(r6 +0) = 5${END}`,
    errno: 'EACCES',
    message: "R6 invalid mem access 'scalar'",
  },
  'an object in a list dropped as if it were owned': {
    text: `${NEW}${LOCK}${PUSH}${DROP}${UNLOCK}${END}`,
    message: 'function calls are not allowed while holding a lock',
  },
  'a node removed that was not found in the tree': {
    text: `${LOCK}\nr1 = r7\nr1 += ${VALUE.root}\nr2 = r7\ncall bpf_rbtree_remove${UNLOCK}${END}`,
    message: 'bpf_rbtree_remove can only take non-owning or refcounted bpf_rb_node pointer',
  },
  'a type that the program does not have': {
    text: `r1 = 9999\nr2 = 0\ncall bpf_obj_new_impl${END}`,
    message: 'bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct',
  },
  'a type that is not known before the program runs': {
    text: `r1 = *(u32 *)(r1 +0)\nr2 = 0\ncall bpf_obj_new_impl${END}`,
    message: 'R1 must be a known constant',
  },
}

describe('objects that the verifier accepts', () => {
  for (const [what, text] of Object.entries(accepted)) test(what, () => expect(judge(text)).toMatchObject({ ok: true }))
})

describe('objects that the verifier refuses', () => {
  for (const [what, { text, errno = 'EINVAL', message }] of Object.entries(refused)) {
    test(what, () => expect(judge(text)).toMatchObject({ ok: false, errno, message }))
  }
})
