// Compares representations of 64-bit bounds for the verifier: one addition with overflow checks and known bits.
//
//   node bench/verifier-int64.mjs
//
// The winner (pairs of int32 in plain objects) is what src/vm/verifier/domain uses; docs/verifier.md has the numbers.
const U64 = (1n << 64n) - 1n
const u = (x) => BigInt.asUintN(64, x)
const s = (x) => BigInt.asIntN(64, x)

const big = (value, mask, smin, smax, umin, umax) => ({ value, mask, smin, smax, umin, umax })

function addBig(a, b) {
  const sum = u(a.value + b.value)
  const mask = (u(u(a.mask + b.mask) + sum) ^ sum) | a.mask | b.mask
  const value = sum & ~mask
  let smin = s(a.smin + b.smin)
  let smax = s(a.smax + b.smax)
  if (smin < a.smin !== b.smin < 0n || smax < a.smax !== b.smax < 0n) {
    smin = -(1n << 63n)
    smax = (1n << 63n) - 1n
  }
  let umin = u(a.umin + b.umin)
  let umax = u(a.umax + b.umax)
  if (umin < a.umin !== umax < a.umax) {
    umin = 0n
    umax = U64
  }
  if (umin < value) umin = value
  const high = value | mask
  if (umax > high) umax = high
  return big(value, u(mask), smin, smax, umin, umax)
}

const S = new BigInt64Array(6 * 64)
const U = new BigUint64Array(S.buffer)

function addTyped(to, a, b) {
  const am = U[a + 1]
  const bm = U[b + 1]
  const sum = BigInt.asUintN(64, U[a] + U[b])
  const mask = BigInt.asUintN(64, (BigInt.asUintN(64, BigInt.asUintN(64, am + bm) + sum) ^ sum) | am | bm)
  const value = BigInt.asUintN(64, sum & ~mask)
  let smin = BigInt.asIntN(64, S[a + 2] + S[b + 2])
  let smax = BigInt.asIntN(64, S[a + 3] + S[b + 3])
  if (smin < S[a + 2] !== S[b + 2] < 0n || smax < S[a + 3] !== S[b + 3] < 0n) {
    smin = -0x8000000000000000n
    smax = 0x7fffffffffffffffn
  }
  let umin = BigInt.asUintN(64, U[a + 4] + U[b + 4])
  let umax = BigInt.asUintN(64, U[a + 5] + U[b + 5])
  if (umin < U[a + 4] !== umax < U[a + 5]) {
    umin = 0n
    umax = 0xffffffffffffffffn
  }
  if (umin < value) umin = value
  const high = BigInt.asUintN(64, value | mask)
  if (umax > high) umax = high
  U[to] = value
  U[to + 1] = mask
  S[to + 2] = smin
  S[to + 3] = smax
  U[to + 4] = umin
  U[to + 5] = umax
}

const pairs = (vh, vl, mh, ml, sminH, sminL, smaxH, smaxL, uminH, uminL, umaxH, umaxL) => ({
  vh,
  vl,
  mh,
  ml,
  sminH,
  sminL,
  smaxH,
  smaxL,
  uminH,
  uminL,
  umaxH,
  umaxL,
})

const sumHigh = (ah, al, bh, bl) => (ah + bh + (((al + bl) | 0) >>> 0 < al >>> 0 ? 1 : 0)) | 0
const lessU = (ah, al, bh, bl) => (ah === bh ? al >>> 0 < bl >>> 0 : ah >>> 0 < bh >>> 0)
const lessS = (ah, al, bh, bl) => (ah === bh ? al >>> 0 < bl >>> 0 : ah < bh)

function addPairs(a, b) {
  const smL = (a.ml + b.ml) | 0
  const smH = sumHigh(a.mh, a.ml, b.mh, b.ml)
  const svL = (a.vl + b.vl) | 0
  const svH = sumHigh(a.vh, a.vl, b.vh, b.vl)
  const ml = (((smL + svL) | 0) ^ svL) | a.ml | b.ml
  const mh = (sumHigh(smH, smL, svH, svL) ^ svH) | a.mh | b.mh
  const vl = svL & ~ml
  const vh = svH & ~mh
  let sminL = (a.sminL + b.sminL) | 0
  let sminH = sumHigh(a.sminH, a.sminL, b.sminH, b.sminL)
  let smaxL = (a.smaxL + b.smaxL) | 0
  let smaxH = sumHigh(a.smaxH, a.smaxL, b.smaxH, b.smaxL)
  const minOverflows = lessS(sminH, sminL, a.sminH, a.sminL) !== b.sminH < 0
  if (minOverflows || lessS(smaxH, smaxL, a.smaxH, a.smaxL) !== b.smaxH < 0) {
    sminH = -0x80000000
    sminL = 0
    smaxH = 0x7fffffff
    smaxL = -1
  }
  let uminL = (a.uminL + b.uminL) | 0
  let uminH = sumHigh(a.uminH, a.uminL, b.uminH, b.uminL)
  let umaxL = (a.umaxL + b.umaxL) | 0
  let umaxH = sumHigh(a.umaxH, a.umaxL, b.umaxH, b.umaxL)
  if (lessU(uminH, uminL, a.uminH, a.uminL) !== lessU(umaxH, umaxL, a.umaxH, a.umaxL)) {
    uminH = uminL = 0
    umaxH = umaxL = -1
  }
  if (lessU(uminH, uminL, vh, vl)) {
    uminH = vh
    uminL = vl
  }
  if (lessU(vh | mh, vl | ml, umaxH, umaxL)) {
    umaxH = vh | mh
    umaxL = vl | ml
  }
  return pairs(vh, vl, mh, ml, sminH, sminL, smaxH, smaxL, uminH, uminL, umaxH, umaxL)
}

const ROUNDS = 3_000_000

function bench(name, run) {
  run(200_000)
  const before = process.cpuUsage().user
  run(ROUNDS)
  console.log(`${name.padEnd(34)} ${(((process.cpuUsage().user - before) * 1000) / ROUNDS).toFixed(0)} ns`)
}

bench('BigInt fields of objects', (n) => {
  const values = Array.from({ length: 16 }, (_, i) => big(BigInt(i), 0xffn, 0n, 1000n, 0n, 1000n + BigInt(i)))
  let last = values[0]
  for (let i = 0; i < n; i++) last = addBig(values[i & 15], values[(i >> 4) & 15])
  return last
})

bench('BigInt64Array and asIntN', (n) => {
  for (let i = 0; i < 16; i++) {
    U.set([BigInt(i), 0xffn], i * 6)
    S.set([0n, 1000n], i * 6 + 2)
    U.set([0n, 1000n + BigInt(i)], i * 6 + 4)
  }
  for (let i = 0; i < n; i++) addTyped(16 * 6, (i & 15) * 6, ((i >> 4) & 15) * 6)
})

bench('int32 pairs in objects', (n) => {
  const values = Array.from({ length: 16 }, (_, i) => pairs(0, i, 0, 0xff, 0, 0, 0, 1000, 0, 0, 0, 1000 + i))
  let last = values[0]
  for (let i = 0; i < n; i++) last = addPairs(values[i & 15], values[(i >> 4) & 15])
  return last
})

const { Bounds } = await import('../dist/vm/verifier/domain/bounds.js')
const { arithmetic } = await import('../dist/vm/verifier/domain/arithmetic.js')
bench('the real add with all deductions', (n) => {
  const values = Array.from({ length: 16 }, (_, i) => {
    const b = Bounds.known(0, i)
    b.umaxL = b.smaxL = b.u32max = b.s32max = 1000 + i
    b.ml = 0x3ff & ~i
    return b.sync()
  })
  let last = values[0]
  for (let i = 0; i < n; i++) last = arithmetic('add', true, values[i & 15], values[(i >> 4) & 15])
  return last
})
