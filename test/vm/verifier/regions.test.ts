import { describe, expect, test } from 'vitest'
import { ProgType } from '../../../src/uapi/index.ts'
import { judge } from './kernel-functions.ts'

const SLEEPABLE = 16
const END = '\nr0 = 0\nexit'
const SAVE = (off: number): string => `\nr1 = r10\nr1 += ${off}\ncall bpf_local_irq_save`
const RESTORE = (off: number): string => `\nr1 = r10\nr1 += ${off}\ncall bpf_local_irq_restore`
const COPY = `
  r1 = r10
  r1 += -16
  r2 = 16
  r3 = 0
  r4 = 0
  *(u64 *)(r10 -8) = 0
  *(u64 *)(r10 -16) = 0
  call bpf_copy_from_user_str`
const LOCK = '\nr6 = &resilient\nr1 = r6\ncall bpf_res_spin_lock'
const UNLOCK = '\nr1 = r6\ncall bpf_res_spin_unlock'

describe('regions that the verifier accepts', () => {
  const accepted: Record<string, string> = {
    'an RCU section': `call bpf_rcu_read_lock\ncall bpf_rcu_read_unlock${END}`,
    'preemption switched off twice and on twice': `call bpf_preempt_disable
      call bpf_preempt_disable
      call bpf_preempt_enable
      call bpf_preempt_enable${END}`,
    'interrupts saved twice and restored in the opposite order': `${SAVE(-8)}${SAVE(-16)}${RESTORE(-16)}${RESTORE(-8)}${END}`,
    'a resilient lock, given back when it was got': `${LOCK}\nif r0 != 0 goto out${UNLOCK}\nout:${END}`,
  }
  for (const [what, text] of Object.entries(accepted)) test(what, () => expect(judge(text)).toMatchObject({ ok: true }))
  test('a function that may sleep, in a program that may', () => {
    expect(judge(COPY + END, ProgType.SYSCALL, SLEEPABLE)).toMatchObject({ ok: true })
  })
})

describe('iterators', () => {
  const AT = (off: number): string => `\nr1 = r10${off === 0 ? '' : `\nr1 += ${off}`}`
  const tasks = `${AT(-24)}\nr2 = 0\nr3 = 0\ncall bpf_iter_task_new${AT(-24)}\ncall bpf_iter_task_destroy`
  const numbers = (destroyed: number): string =>
    `${AT(-8)}\nr2 = 0\nr3 = 3\ncall bpf_iter_num_new${AT(destroyed)}\ncall bpf_iter_num_destroy${END}`

  test('over tasks need RCU, even when nothing is asked of them', () => {
    expect(
      judge(`call bpf_rcu_read_lock${tasks}\ncall bpf_rcu_read_unlock${END}`, ProgType.SYSCALL, SLEEPABLE),
    ).toMatchObject({ ok: true })
    expect(judge(tasks + END, ProgType.SYSCALL, SLEEPABLE)).toMatchObject({
      message: 'kernel func bpf_iter_task_new requires RCU critical section protection',
    })
  })

  test('lie below the frame pointer, although Linux 6.18 takes the frame pointer itself for the slot below it', () => {
    expect(judge(numbers(-8))).toMatchObject({ ok: true })
    expect(judge(numbers(0))).toMatchObject({ message: 'expected an initialized iter_num as arg #0' })
  })
})

test('the kernel’s BTF says what stands behind a context', () => {
  const cast = `call bpf_cast_to_kern_ctx\nr0 = *(u32 *)(r0 +0)${END}`
  expect(judge(cast)).toMatchObject({ ok: true })
  expect(judge(cast.replace('+0', '+8'))).toMatchObject({ message: 'access beyond struct sk_buff at off 8 size 4' })
  expect(judge(cast, ProgType.SYSCALL, SLEEPABLE).message).toMatch(/^kern ctx type id \d+ is not a struct$/)
})

describe('regions that the verifier refuses', () => {
  const refused: Record<string, { text: string; errno?: string; message: string }> = {
    'an RCU section that does not end': {
      text: `call bpf_rcu_read_lock${END}`,
      message: 'BPF_EXIT instruction in main prog cannot be used inside bpf_rcu_read_lock-ed region',
    },
    'an RCU section in another': {
      text: `call bpf_rcu_read_lock\ncall bpf_rcu_read_lock${END}`,
      message: 'nested rcu read lock (kernel function bpf_rcu_read_lock)',
    },
    'the end of an RCU section that did not begin': {
      text: `call bpf_rcu_read_unlock${END}`,
      message: 'unmatched rcu read unlock (kernel function bpf_rcu_read_unlock)',
    },
    'preemption left switched off': {
      text: `call bpf_preempt_disable${END}`,
      message: 'BPF_EXIT instruction in main prog cannot be used inside bpf_preempt_disable-ed region',
    },
    'interrupts restored in the order of saving': {
      text: `${SAVE(-8)}${SAVE(-16)}${RESTORE(-8)}${END}`,
      errno: 'EACCES',
      message: 'cannot restore irq state out of order, expected id=2 acquired at insn_idx=5',
    },
    'interrupts restored that were not saved': {
      text: `*(u64 *)(r10 -8) = 0${RESTORE(-8)}${END}`,
      message: 'expected an initialized irq flag as arg#0',
    },
    'interrupts left off': {
      text: `${SAVE(-8)}${END}`,
      message: 'BPF_EXIT instruction in main prog cannot be used inside bpf_local_irq_save-ed region',
    },
    'a resilient lock taken twice': {
      text: `${LOCK}\nif r0 != 0 goto out\nr1 = r6\ncall bpf_res_spin_lock${UNLOCK}\nout:${END}`,
      message: 'Acquiring the same lock again, AA deadlock detected',
    },
    'a resilient lock given back without having been got': {
      text: `${LOCK}${UNLOCK}${END}`,
      message: 'bpf_res_spin_unlock without taking a lock',
    },
    'a reference that is not released': {
      text: `r1 = 1\ncall bpf_task_from_pid${END}`,
      message: 'BPF_EXIT instruction in main prog would lead to reference leak',
    },
    'a pointer that may be null, released': {
      text: `r1 = 1\ncall bpf_task_from_pid\nr1 = r0\ncall bpf_task_release${END}`,
      errno: 'EACCES',
      message: 'Possibly NULL pointer passed to trusted arg0',
    },
    'an exception in an RCU section': {
      text: `call bpf_rcu_read_lock\nr1 = 0\ncall bpf_throw${END}`,
      message: 'bpf_throw cannot be used inside bpf_rcu_read_lock-ed region',
    },
  }
  for (const [what, { text, errno = 'EINVAL', message }] of Object.entries(refused)) {
    test(what, () => expect(judge(text)).toMatchObject({ ok: false, errno, message }))
  }

  test('a function that may sleep, in a program that may not', () => {
    expect(judge(COPY + END)).toMatchObject({
      errno: 'EACCES',
      message: 'program must be sleepable to call sleepable kfunc bpf_copy_from_user_str',
    })
  })

  test('a function that may sleep, in an RCU section', () => {
    const inside = `call bpf_rcu_read_lock${COPY}\ncall bpf_rcu_read_unlock${END}`
    expect(judge(inside, ProgType.SYSCALL, SLEEPABLE)).toMatchObject({
      errno: 'EACCES',
      message: 'kernel func bpf_copy_from_user_str is sleepable within rcu_read_lock region',
    })
  })

  test('a function that programs of the type do not have', () => {
    expect(judge(`r1 = 1\ncall bpf_task_from_pid${END}`, ProgType.SOCKET_FILTER)).toMatchObject({
      errno: 'EACCES',
      message: 'calling kernel function bpf_task_from_pid is not allowed',
    })
  })
})
