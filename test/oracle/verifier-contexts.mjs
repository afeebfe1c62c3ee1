// What each program type may do, tried out one by one on the running kernel and here: every load and store of every byte
// of its context and of the sockets that it may get, and calls of every helper and of every kernel function.
//
//   node test/oracle/verifier-contexts.mjs [--only PART] [--type NAME]
//   node test/oracle/verifier-contexts.mjs --bless    records what the kernel accepts, for tests without a kernel
//
// PART is loads, stores, sockets, helpers or kfuncs. Types that need a target (tracing, struct_ops) are tried with few. Needs
// root and the addon. Writes docs/results/verifier-contexts.json.
import { writeFileSync } from 'node:fs'
import { mapSpec } from '../../dist/loader/index.js'
import { MapType, ProgType } from '../../dist/uapi/index.js'
import { root } from './results.mjs'
import { Comparison, hooks, kernelFunctions } from './lib/verifier-compare.mjs'
import {
  accessText,
  FORMS,
  HELPERS_TRIED,
  LARGEST_CONTEXT,
  NOT_OFFERED,
  place,
  SIZES,
} from './verifier-contexts-generate.mjs'

const args = process.argv.slice(2)
const option = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : null)
const wants = (part) => option('--only') === null || option('--only') === part
const XSKS = mapSpec({ name: 'xsks', type: MapType.XSKMAP, keySize: 4, valueSize: 4, maxEntries: 4 })
const LARGEST_SOCKET = 128

/** Linux 6.18 compares the offsets of tracepoints' contexts as unsigned numbers: what lies below passes. */
const isKnown = (hook, what) => hook.type === ProgType.TRACEPOINT && /^(load|number|signed) .* -\d+\)/.test(what)
const comparison = new Comparison('verifier-contexts', [XSKS], isKnown)
const compare = (...given) => comparison.run(...given)

/** Sizes and places of all accesses. */
function* accesses(largest) {
  for (let at = -8; at < largest; at++) for (const size of SIZES) yield [size, at]
}

/** How to get each kind of socket into r1. */
const SOCKETS = [
  { name: 'sock_common', type: ProgType.SCHED_CLS, text: 'r1 = *(u64 *)(r1 +168)\nif r1 == 0 goto out' },
  {
    name: 'sock',
    type: ProgType.SCHED_CLS,
    text: 'r1 = *(u64 *)(r1 +168)\nif r1 == 0 goto out\ncall bpf_sk_fullsock\nif r0 == 0 goto out\nr1 = r0',
  },
  {
    name: 'tcp_sock',
    type: ProgType.SCHED_CLS,
    text: 'r1 = *(u64 *)(r1 +168)\nif r1 == 0 goto out\ncall bpf_tcp_sock\nif r0 == 0 goto out\nr1 = r0',
  },
  {
    name: 'xdp_sock',
    type: ProgType.XDP,
    text: '*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\nr1 = map[id:0]\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\nr1 = r0',
  },
]

const all = hooks(comparison, option('--type'))
if (args.includes('--bless')) {
  bless()
  process.exit(0)
}

/**
 * For each hook and form of access, and for each size, the offsets that the kernel accepts, as bits of a number; and the
 * helpers that it offers. Hooks whose contexts need the kernel's BTF are left out.
 */
function bless() {
  const golden = []
  for (const hook of all) {
    if (hook.attachTarget !== undefined || hook.type === ProgType.NETFILTER) continue
    const { name, type, attachType, retval } = hook
    const accepted = {}
    for (const form of FORMS) {
      accepted[form] = SIZES.map((size) => {
        let bits = 0n
        for (let at = 0; at < LARGEST_CONTEXT; at++) {
          const text = accessText(form, size, at, retval)
          if (text !== null && comparison.ask(text, hook) === null) bits |= 1n << BigInt(at)
        }
        return bits.toString(16)
      })
    }
    const calls = Array.from({ length: HELPERS_TRIED }, (_, id) => id)
    const helpers = calls.filter(
      (id) => !NOT_OFFERED.test(comparison.ask(`call ${id}\nr0 = ${retval}\nexit`, hook) ?? ''),
    )
    golden.push({ name, type, attachType, retval, accepted, helpers })
  }
  const lines = golden.map((each) => JSON.stringify(each)).join(',\n')
  writeFileSync(`${root}test/oracle/verifier-contexts-golden.json`, `[\n${lines}\n]\n`)
}

for (const hook of all) {
  for (const [size, at] of accesses(LARGEST_CONTEXT)) {
    for (const form of FORMS) {
      const text = accessText(form, size, at, hook.retval)
      if (text === null || !wants(form === 'store' || form === 'constant' ? 'stores' : 'loads')) continue
      compare(`${form} ${place(size, at)}`, hook, text)
    }
  }
  if (wants('helpers')) {
    for (let id = 0; id < HELPERS_TRIED; id++) compare(`call ${id}`, hook, `call ${id}\nr0 = ${hook.retval}\nexit`)
  }
  comparison.progress(hook.name)
}
if (wants('sockets')) {
  for (const { name, type, text } of SOCKETS) {
    if (!all.some((hook) => hook.type === type)) continue
    for (const [size, at] of accesses(LARGEST_SOCKET)) {
      // These two halves of 64-bit fields pass, and then the kernel warns that it cannot convert them.
      if (name === 'tcp_sock' && size === 4 && (at === 84 || at === 92)) continue
      const where = place(size, at)
      compare(`load ${where}`, { name, type, attachType: 0 }, `${text}\nr2 = ${where}\nout:\nr0 = 0\nexit`)
      compare(`store ${where}`, { name, type, attachType: 0 }, `${text}\nr2 = 0\n${where} = r2\nout:\nr0 = 0\nexit`)
    }
  }
  comparison.progress('sockets')
}
if (wants('kfuncs')) {
  for (const hook of all.filter(({ type }, i) => all.findIndex((other) => other.type === type) === i)) {
    for (const kfunc of kernelFunctions(comparison.kernelBtf))
      compare(kfunc.name, hook, `call 0\nr0 = ${hook.retval}\nexit`, kfunc)
    comparison.progress(`${hook.name}: kernel functions`)
  }
}
comparison.finish(args.length === 0)
