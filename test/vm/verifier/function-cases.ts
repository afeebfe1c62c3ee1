// Rules about callbacks, tail calls and exceptions, with the verdicts of Linux 6.18. test/kernel/verifier-functions.test.ts
// asks the running kernel about the same programs.
import { ProgType } from '../../../src/uapi/index.ts'
import { type FunctionsOptions, VALUE } from './functions.ts'

export interface FunctionsCase extends FunctionsOptions {
  readonly text: string
  /** The last line of the log of a refusal; absent when the program is accepted. */
  readonly message?: string
  /** EINVAL when absent. */
  readonly errno?: string
}

const END = '\nout:\nr0 = 0\nexit'
const ZERO = '\nr0 = 0\nexit'
const CALLBACK = `\nstatic cb:${ZERO}`
const LOOKUP = (map: string = 'values'): string => `
  *(u32 *)(r10 -4) = 0
  r1 = map ${map}
  r2 = r10
  r2 += -4
  call bpf_map_lookup_elem
  if r0 == 0 goto out
  r6 = r0`
const TIMER = (at: number = VALUE.timer): string => `\nr1 = r6\nr1 += ${at}`
const INIT = (map: string = 'values'): string => `${TIMER()}\nr2 = map ${map}\nr3 = 1\ncall bpf_timer_init`
const SET = `${TIMER()}\nr2 = &cb\ncall bpf_timer_set_callback`
const START = `${TIMER()}\nr2 = 0\nr3 = 0\ncall bpf_timer_start`
const WORK = (at: number = VALUE.work): string => `\nr1 = r6\nr1 += ${at}`
const WORK_INIT = (map: string = 'values'): string => `${WORK()}\nr2 = map ${map}\nr3 = 0\ncall bpf_wq_init`
const WORK_SET = `${WORK()}\nr2 = &cb\nr3 = 0\nr4 = 0\ncall bpf_wq_set_callback_impl`
const WORK_START = `${WORK()}\nr2 = 0\ncall bpf_wq_start`
const ACQUIRE = '\nr1 = 1\ncall bpf_task_from_pid'
const HOLD = `${ACQUIRE}\nif r0 == 0 goto out\nr7 = r0`
const RELEASE = '\nr1 = r7\ncall bpf_task_release'
/** r9 keeps the context. */
const KEEP = '\nr9 = r1'
const TAIL_CALL = '\nr1 = r9\nr2 = map programs\nr3 = 0\ncall bpf_tail_call'
const THROW = (cookie: number = 0): string => `\nr1 = ${cookie}\ncall bpf_throw`
const FOR_EACH = '\nr1 = map values\nr2 = &cb\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_for_each_map_elem'
const LOOP = '\nr1 = 4\nr2 = &cb\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_loop'
const CONTEXT = '\n*(u64 *)(r10 -8) = 0'
const LEAK_IN_CALLBACK = `\nstatic cb:${ACQUIRE}${ZERO}`
const HANDLER = 'exception_callback:handler'

const TIMERS: Readonly<Record<string, FunctionsCase>> = {
  'a timer that is initialised, given a callback, started and cancelled': {
    text: `${LOOKUP()}${INIT()}${SET}${START}${TIMER()}\ncall bpf_timer_cancel${END}${CALLBACK}`,
  },
  'a timer whose callback starts it again and writes to the value': {
    text: `${LOOKUP()}${INIT()}${SET}${END}
      static cb:
      r6 = r3
      *(u64 *)(r6 +${VALUE.plain}) = 1${START}${ZERO}`,
  },
  'a timer callback that returns one': {
    text: `${LOOKUP()}${SET}${END}\nstatic cb:\nr0 = 1\nexit`,
    message: 'At async callback return the register R0 has smin=1 smax=1 should have been in [0, 0]',
  },
  'a timer callback that keeps a reference': {
    text: `${LOOKUP()}${SET}${END}${LEAK_IN_CALLBACK}`,
    message: 'BPF_EXIT instruction in main prog would lead to reference leak',
  },
  'a timer callback that writes to the timer': {
    text: `${LOOKUP()}${SET}${END}\nstatic cb:\n*(u64 *)(r3 +${VALUE.timer}) = 0${ZERO}`,
    errno: 'EACCES',
    message: 'bpf_timer cannot be accessed directly by load/store',
  },
  'a place in the value that is no timer': {
    text: `${LOOKUP()}${TIMER(8)}\nr2 = map values\nr3 = 1\ncall bpf_timer_init${END}`,
    message: "off 8 doesn't point to 'struct bpf_timer' that is at 0",
  },
  'a timer at an offset that is not known': {
    text: `${LOOKUP()}\nr1 = *(u64 *)(r6 +${VALUE.plain})\nr1 &= 8\nr6 += r1${INIT()}${END}`,
    message: "R1 doesn't have constant offset. bpf_timer has to be at the constant offset",
  },
  'a timer in a map without BTF': {
    text: `${LOOKUP('plain')}${INIT('plain')}${END}`,
    message: "map 'plain' has to have BTF in order to use bpf_timer",
  },
  'a timer of one map initialised with another': {
    text: `${LOOKUP()}${INIT('others')}${END}`,
    message: "timer pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0",
  },
  'a timer callback that is a number': {
    text: `${LOOKUP()}${TIMER()}\nr2 = 0\ncall bpf_timer_set_callback${END}`,
    errno: 'EACCES',
    message: 'R2 type=scalar expected=func',
  },
  'a timer in a tracing program': {
    type: ProgType.KPROBE,
    text: `${LOOKUP()}${INIT()}${END}`,
    message: 'tracing progs cannot use bpf_timer yet',
  },
  'a timer callback that throws': {
    text: `${LOOKUP()}${SET}${END}\nstatic cb:${THROW()}${ZERO}`,
    message: 'bpf_throw kfunc (insn 16) cannot be called from callback subprog 1',
  },
}

const WORKQUEUES: Readonly<Record<string, FunctionsCase>> = {
  'work that is initialised, given a callback and started': {
    text: `${LOOKUP()}${WORK_INIT()}${WORK_SET}${WORK_START}${END}${CALLBACK}`,
  },
  'a work callback that sleeps, as its program may not': {
    text: `${LOOKUP()}${WORK_SET}${END}
      static cb:
      *(u64 *)(r10 -8) = 0
      r1 = r10
      r1 += -8
      r2 = 8
      r3 = 0
      r4 = 0
      call bpf_copy_from_user_str${ZERO}`,
  },
  'a work callback that returns one': {
    text: `${LOOKUP()}${WORK_SET}${END}\nstatic cb:\nr0 = 1\nexit`,
    message: 'At async callback return the register R0 has smin=1 smax=1 should have been in [0, 0]',
  },
  'a work callback that keeps a reference': {
    text: `${LOOKUP()}${WORK_SET}${END}${LEAK_IN_CALLBACK}`,
    message: 'BPF_EXIT instruction in main prog would lead to reference leak',
  },
  'a place in the value that is no work': {
    text: `${LOOKUP()}${WORK(VALUE.work + 1)}\nr2 = map values\nr3 = 0\ncall bpf_wq_init${END}`,
    message: "off 17 doesn't point to 'struct bpf_wq' that is at 16",
  },
  'work of one map initialised with another': {
    text: `${LOOKUP()}${WORK_INIT('others')}${END}`,
    message: "workqueue pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0",
  },
  'work in the stack': {
    text: `\n*(u64 *)(r10 -8) = 0\n*(u64 *)(r10 -16) = 0\nr6 = r10${WORK(-16)}\nr2 = 0\ncall bpf_wq_start${END}`,
    message: "arg#0 doesn't point to a map value",
  },
}

const TAIL_CALLS: Readonly<Record<string, FunctionsCase>> = {
  'a tail call': { text: `${KEEP}${TAIL_CALL}${END}` },
  'a tail call of a function': { text: `call sub${END}\nstatic sub:${KEEP}${TAIL_CALL}${ZERO}` },
  'a tail call after the reference was released': { text: `${KEEP}${HOLD}${RELEASE}${TAIL_CALL}${END}` },
  'a tail call with a reference': {
    text: `${KEEP}${HOLD}${TAIL_CALL}${RELEASE}${END}`,
    message: 'tail_call would lead to reference leak',
  },
  // Linux 6.18 looks at references only in main here.
  'a tail call of a function with a reference of its caller': {
    text: `${KEEP}${HOLD}\nr1 = r9\ncall sub${RELEASE}${END}\nstatic sub:${KEEP}${TAIL_CALL}${ZERO}`,
  },
  'a tail call of a function that returns nothing': {
    text: `call sub${END}\nvoid sub:${KEEP}${TAIL_CALL}${ZERO}`,
    message: "tail_call is only allowed in functions that return 'int'.",
  },
  'a tail call in an RCU section': {
    text: `${KEEP}\ncall bpf_rcu_read_lock${TAIL_CALL}\ncall bpf_rcu_read_unlock${END}`,
    message: 'tail_call cannot be used inside bpf_rcu_read_lock-ed region',
  },
  'a tail call of a function in an RCU section of its caller': {
    text: `${KEEP}\ncall bpf_rcu_read_lock\nr1 = r9\ncall sub\ncall bpf_rcu_read_unlock${END}\nstatic sub:${KEEP}${TAIL_CALL}${ZERO}`,
    message: 'tail_call cannot be used inside bpf_rcu_read_lock-ed region',
  },
  'a tail call without preemption': {
    text: `${KEEP}\ncall bpf_preempt_disable${TAIL_CALL}\ncall bpf_preempt_enable${END}`,
    message: 'tail_call cannot be used inside bpf_preempt_disable-ed region',
  },
  'a tail call of a function below 256 bytes of stack': {
    text: `*(u64 *)(r10 -256) = 0\ncall sub${END}\nstatic sub:${KEEP}${TAIL_CALL}${ZERO}`,
    errno: 'EACCES',
    message: 'tail_calls are not allowed when call stack of previous frames is 256 bytes. Too large',
  },
  'a tail call of a function below 248 bytes of stack': {
    text: `*(u64 *)(r10 -224) = 0\ncall sub${END}\nstatic sub:${KEEP}${TAIL_CALL}${ZERO}`,
  },
  'a tail call into a map of values': {
    text: `${KEEP}${TAIL_CALL.replace('map programs', 'map values')}${END}`,
    message: 'expected prog array map for tail call',
  },
  'a lookup in a map of programs': {
    text: `${LOOKUP('programs')}${END}`,
    message: 'cannot pass map_type 3 into func bpf_map_lookup_elem#1',
  },
}

const EXCEPTIONS: Readonly<Record<string, FunctionsCase>> = {
  'an exception': { text: `${THROW()}${END}` },
  'an exception of a function': { text: `call sub${END}\nstatic sub:${THROW()}${ZERO}` },
  'an exception of a global function': { text: `r1 = 0\ncall sub${END}\nglobal sub:${THROW()}${ZERO}` },
  'an exception that a callback gets': {
    tags: [HANDLER],
    text: `${THROW(64)}${END}\nglobal handler:\nr0 = r1\nr0 &= 1\nexit`,
  },
  'an exception with a reference': {
    text: `${HOLD}${THROW()}${RELEASE}${END}`,
    message: 'bpf_throw would lead to reference leak',
  },
  'an exception of a function with a reference of its caller': {
    text: `${HOLD}\ncall sub${RELEASE}${END}\nstatic sub:${THROW()}${ZERO}`,
    message: 'bpf_throw would lead to reference leak',
  },
  // Nor does 6.18 ask at the call of a global function whether it throws.
  'an exception of a global function with a reference of its caller': {
    text: `${HOLD}\nr1 = 0\ncall sub${RELEASE}${END}\nglobal sub:${THROW()}${ZERO}`,
  },
  'an exception in an RCU section': {
    text: `call bpf_rcu_read_lock${THROW()}\ncall bpf_rcu_read_unlock${END}`,
    message: 'bpf_throw cannot be used inside bpf_rcu_read_lock-ed region',
  },
  'an exception without preemption': {
    text: `call bpf_preempt_disable${THROW()}\ncall bpf_preempt_enable${END}`,
    message: 'bpf_throw cannot be used inside bpf_preempt_disable-ed region',
  },
  'an exception of a callback': {
    text: `${CONTEXT}${FOR_EACH}${END}\nstatic cb:${THROW()}${ZERO}`,
    message: 'bpf_throw kfunc (insn 12) cannot be called from callback subprog 1',
  },
  'an exception with a number that the program may not return': {
    type: ProgType.CGROUP_SKB,
    text: `${THROW(64)}${END}`,
    message: 'At program exit the register R1 has smin=64 smax=64 should have been in [0, 1]',
  },
  'an exception callback that returns what the program may not': {
    type: ProgType.CGROUP_SKB,
    tags: [HANDLER],
    text: `${THROW(64)}${END}\nglobal handler:\nr0 = 64\nexit`,
    message: 'At program exit the register R0 has smin=64 smax=64 should have been in [0, 1]',
  },
  'an exception callback of two arguments': {
    tags: [HANDLER],
    text: `${THROW()}${END}\nglobal2 handler:${ZERO}`,
    message: 'exception cb only supports single integer argument',
  },
  'an exception callback that is called': {
    tags: [HANDLER],
    text: `r1 = 0\ncall handler${THROW()}${END}\nglobal handler:${ZERO}`,
    message: 'insn 1 cannot call exception cb directly',
  },
  'an exception callback that is static': {
    tags: [HANDLER],
    text: `${THROW()}${END}\nstatic handler:${ZERO}`,
    message: "exception callback 'handler' must have global linkage",
  },
  'an exception callback that does not exist': {
    tags: [HANDLER],
    text: `${THROW()}${END}`,
    errno: 'ENOENT',
    message: "exception callback 'handler' could not be found in BTF",
  },
  'two exception callbacks': {
    tags: [HANDLER, 'exception_callback:other'],
    text: `${THROW()}${END}\nglobal handler:${ZERO}\nglobal other:${ZERO}`,
    errno: 'EEXIST',
    message: 'multiple exception callback tags for main subprog',
  },
  'an exception callback that throws': {
    tags: [HANDLER],
    text: `${THROW()}${END}\nglobal handler:${THROW()}${ZERO}`,
    message: 'bpf_throw kfunc (insn 5) cannot be called from callback subprog 1',
  },
}

const CALLBACKS: Readonly<Record<string, FunctionsCase>> = {
  'a callback for each element': { text: `${CONTEXT}${FOR_EACH}${END}${CALLBACK}` },
  'a reference held while a callback runs': { text: `${CONTEXT}${HOLD}${FOR_EACH}${RELEASE}${END}${CALLBACK}` },
  'a callback that acquires and releases': {
    text: `${CONTEXT}${FOR_EACH}${END}\nstatic cb:${ACQUIRE}\nif r0 == 0 goto none\nr1 = r0\ncall bpf_task_release\nnone:${ZERO}`,
  },
  'a callback that ends the walk': { text: `${CONTEXT}${FOR_EACH}${END}\nstatic cb:\nr0 = 1\nexit` },
  'a callback that reads what it is given': {
    text: `${CONTEXT}${FOR_EACH}${END}
      static cb:
      r0 = *(u32 *)(r2 +0)
      r0 = *(u64 *)(r3 +${VALUE.plain})
      *(u64 *)(r4 +0) = r0${ZERO}`,
  },
  'a callback for each element that returns two': {
    text: `${CONTEXT}${FOR_EACH}${END}\nstatic cb:\nr0 = 2\nexit`,
    message: 'At callback return the register R0 has smin=2 smax=2 should have been in [0, 1]',
  },
  'a callback of a loop that returns two': {
    text: `${CONTEXT}${LOOP}${END}\nstatic cb:\nr0 = 2\nexit`,
    message: 'At callback return the register R0 has smin=2 smax=2 should have been in [0, 1]',
  },
  'a callback of an unknown result': {
    text: `${CONTEXT}${LOOP}${END}\nstatic cb:\ncall bpf_get_prandom_u32\nexit`,
    message: 'At callback return the register R0 has unknown scalar value should have been in [0, 1]',
  },
  'a callback that keeps a reference': {
    text: `${CONTEXT}${FOR_EACH}${END}${LEAK_IN_CALLBACK}`,
    message: 'BPF_EXIT instruction in main prog would lead to reference leak',
  },
  'a callback of a loop that keeps a reference': {
    text: `${CONTEXT}${LOOP}${END}${LEAK_IN_CALLBACK}`,
    message: 'BPF_EXIT instruction in main prog would lead to reference leak',
  },
  'a callback that keeps a reference in its context': {
    text: `${CONTEXT}${FOR_EACH}${END}\nstatic cb:\nr6 = r4${ACQUIRE}\n*(u64 *)(r6 +0) = r0${ZERO}`,
    message: 'BPF_EXIT instruction in main prog would lead to reference leak',
  },
  'a callback that releases a reference of its caller': {
    text: `${HOLD}\n*(u64 *)(r10 -8) = r7${FOR_EACH}${RELEASE}${END}
      static cb:
      r1 = *(u64 *)(r4 +0)
      call bpf_task_release${ZERO}`,
    message: 'arg#0 pointer type STRUCT task_struct must point to scalar, or struct with scalar',
  },
  'a callback that writes to the key': {
    text: `${CONTEXT}${FOR_EACH}${END}\nstatic cb:\n*(u32 *)(r2 +0) = 0${ZERO}`,
    errno: 'EACCES',
    message: 'write to change key R2 not allowed',
  },
  'a callback that reads behind the value': {
    text: `${CONTEXT}${FOR_EACH}${END}\nstatic cb:\nr0 = *(u64 *)(r3 +${VALUE.size})${ZERO}`,
    errno: 'EACCES',
    message: 'R3 min value is outside of the allowed memory range',
  },
  'a callback that is global': {
    text: `${CONTEXT}${FOR_EACH}${END}\nglobal cb:${ZERO}`,
    message: 'callback function not static',
  },
  'a callback that is main': {
    text: `${CONTEXT}${FOR_EACH.replace('&cb', '0')}${END}`,
    errno: 'EACCES',
    message: 'R2 type=scalar expected=func',
  },
}

const SLEEP = '\nr1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\ncall bpf_copy_from_user'
const SLEEPER = `\nglobal sub:${SLEEP}${ZERO}`
const MAY_NOT_SLEEP = { type: ProgType.SYSCALL, message: 'a non-sleepable BPF program context' }
const withoutPreemption = (call: string): string =>
  `call bpf_preempt_disable\nr1 = 0${call}\ncall bpf_preempt_enable${ZERO}`
const PACKET =
  'r6 = *(u32 *)(r1 +76)\nr7 = *(u32 *)(r1 +80)\nr2 = r6\nr2 += 4\nif r2 > r7 goto out\ncall sub\nr1 = *(u32 *)(r6 +0)'
const MOVED = { errno: 'EACCES', message: "R6 invalid mem access 'scalar'" }

/** What global functions, which are not walked into at a call, do to their callers. */
const EFFECTS: Readonly<Record<string, FunctionsCase>> = {
  'a global function that may sleep': { type: ProgType.SYSCALL, text: `r1 = 0\ncall sub${ZERO}${SLEEPER}` },
  'a global function that may sleep without preemption': {
    ...MAY_NOT_SLEEP,
    text: `${withoutPreemption('\ncall sub')}${SLEEPER}`,
  },
  'a global function that may sleep in an RCU section': {
    ...MAY_NOT_SLEEP,
    text: `call bpf_rcu_read_lock\nr1 = 0\ncall sub\ncall bpf_rcu_read_unlock${ZERO}${SLEEPER}`,
  },
  'a global function whose callee may sleep, by a kernel function': {
    ...MAY_NOT_SLEEP,
    text: `${withoutPreemption('\ncall sub')}
      global sub:
      r1 = r10
      call inner${ZERO}
      static inner:
      r1 = r10
      r1 += -8
      r2 = 8
      r3 = 0
      r4 = 0
      call bpf_copy_from_user_str${ZERO}`,
  },
  'a global function whose callback may sleep': {
    ...MAY_NOT_SLEEP,
    text: `${withoutPreemption('\ncall sub')}\nglobal sub:${CONTEXT}${LOOP}${ZERO}\nstatic cb:${SLEEP}${ZERO}`,
  },
  'a global function that only looks at the packet': { text: `${PACKET}${END}\npacket sub:${ZERO}` },
  'a global function that moves the packet': {
    ...MOVED,
    text: `${PACKET}${END}\npacket sub:\nr2 = 0\ncall bpf_skb_pull_data${ZERO}`,
  },
  'a global function whose callback moves the packet': {
    ...MOVED,
    text: `${PACKET}${END}
      packet sub:
      *(u64 *)(r10 -8) = r1${LOOP}${ZERO}
      static cb:
      r1 = *(u64 *)(r2 +0)
      r2 = 0
      call bpf_skb_pull_data${ZERO}`,
  },
}

export const FUNCTION_CASES: Readonly<Record<string, Readonly<Record<string, FunctionsCase>>>> = {
  timers: TIMERS,
  workqueues: WORKQUEUES,
  'tail calls': TAIL_CALLS,
  'effects of global functions': EFFECTS,
  exceptions: EXCEPTIONS,
  callbacks: CALLBACKS,
}
