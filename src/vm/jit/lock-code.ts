import { CPU_ADDRESS, HELD_LOCK_ADDRESS } from '../engine.ts'
import { SLOW } from './hash-code.ts'
import { CodeSink, Op, ValueType, w, type Code, type FunctionType } from './wasm/index.ts'

const { I32 } = ValueType
const { add, get, giveBack, i32, load, set, store, sub, when } = w

/** Address of a lock; result: 0 or SLOW. */
export const LOCK_FUNCTION: FunctionType = { params: [I32], results: [I32] }

/** Looks at a lock that another thread holds before the helper waits. */
const SPINS = 1000

/** i32.atomic.rmw.cmpxchg and i32.atomic.store of the threads proposal. */
const COMPARE_EXCHANGE = 0x48
const ATOMIC_STORE = 0x17

/** ValueLocks.take() where other threads run: a lock that stays closed is the helper's. */
export function lockBody(): CodeSink {
  const lock = 0
  const code = new CodeSink(1)
  const left = code.addLocal(I32)
  const owner = add(load(i32(0), CPU_ADDRESS), i32(1))
  const taken: Code = (c) => {
    get(lock)(c)
    i32(0)(c)
    owner(c)
    c.atomic(COMPARE_EXCHANGE, 0, 4)
    c.op(Op.i32_eqz)
  }
  w.all(
    set(left, i32(SPINS)),
    w.repeat(
      w.all(
        when(taken, w.all(store(i32(0), get(lock), HELD_LOCK_ADDRESS), giveBack(i32(0)))),
        set(left, sub(get(left), i32(1))),
      ),
      get(left),
    ),
    i32(SLOW),
  )(code)
  return code
}

/** ValueLocks.open(). */
export function unlockBody(): CodeSink {
  const lock = 0
  const code = new CodeSink(1)
  get(lock)(code)
  i32(0)(code)
  code.atomic(ATOMIC_STORE, 0, 4)
  w.all(store(i32(0), i32(0), HELD_LOCK_ADDRESS), i32(0))(code)
  return code
}
