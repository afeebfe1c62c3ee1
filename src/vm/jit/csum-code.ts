import { CodeSink, Op, ValueType, w, type Code, type FunctionType } from './wasm/index.ts'

const { I32, I64 } = ValueType
const { add, and, get, i32, load, set, sub, when } = w

/** Addresses and sizes of what goes and what comes, seed; result: the checksum. */
export const CSUM_FUNCTION: FunctionType = { params: [I32, I32, I32, I32, I32], results: [I32] }

/** bpf_csum_diff; see runtime/helpers/checksum.ts. Sums of 32-bit words fit in 64 bits, carries are added at the end. */
export function csumDiffBody(): CodeSink {
  const [from, fromSize, to, toSize, seed] = [0, 1, 2, 3, 4]
  const code = new CodeSink(5)
  const sum = code.addLocal(I64)
  const result = code.addLocal(I32)
  const add64 = (value: Code): Code => set(sum, w.add64(get(sum), w.extend(value)))
  const halfOf =
    (address: number): Code =>
    (c) => {
      c.get(address)
      c.memory(Op.i32_load16_u, 0)
    }
  const bytes = (address: number, size: number): Code =>
    w.all(
      w.during(
        w.atLeast(get(size), i32(4)),
        w.all(add64(load(get(address))), set(address, add(get(address), i32(4))), set(size, sub(get(size), i32(4)))),
      ),
      when(
        w.atLeast(get(size), i32(2)),
        w.all(add64(halfOf(address)), set(address, add(get(address), i32(2))), set(size, sub(get(size), i32(2)))),
      ),
      when(get(size), add64(w.load8(get(address)))),
    )
  /** Adds the upper half to the lower one, with its carry: the sum modulo 2^32 - 1, not 0 unless all was. */
  const fold32: Code = (c) => {
    for (let i = 0; i < 2; i++) {
      w.extend(w.wrap(get(sum)))(c)
      c.get(sum)
      c.i64(32)
      c.op(Op.i64_shr_u)
      c.op(Op.i64_add)
      c.set(sum)
    }
    w.wrap(get(sum))(c)
  }
  const start = (value: Code): Code => set(sum, w.extend(value))
  const invert = (value: Code): Code => w.xor(value, i32(-1))
  const had = code.addLocal(I32)
  w.all(
    set(had, get(toSize)),
    when(
      get(fromSize),
      when(
        get(toSize),
        w.all(
          start(i32(0)),
          bytes(from, fromSize),
          set(result, fold32),
          start(get(seed)),
          bytes(to, toSize),
          add64(invert(get(result))),
          set(result, fold32),
        ),
        w.all(start(invert(get(seed))), bytes(from, fromSize), set(result, invert(fold32))),
      ),
      w.all(start(get(seed)), when(get(had), bytes(to, toSize)), set(result, fold32)),
    ),
    set(result, add(w.shr(get(result), i32(16)), and(get(result), i32(0xffff)))),
    and(add(w.shr(get(result), i32(16)), get(result)), i32(0xffff)),
  )(code)
  return code
}
