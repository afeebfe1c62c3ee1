// What each program type may do, tried out one by one on the running kernel and here: every load and store of every byte
// of its context and of the sockets that it may get, and calls of every helper and of every kernel function.
//
//   node test/oracle/verifier-contexts.mjs [--only PART] [--type NAME]
//
// PART is loads, stores, sockets, helpers or kfuncs. Types that need a target (tracing, struct_ops) are not asked. Needs
// root and the addon. Writes docs/results/verifier-contexts.json.
import { mapSpec } from '../../dist/loader/index.js'
import { HELPERS, MapType, ProgType } from '../../dist/uapi/index.js'
import { Comparison, hooks, kernelFunctions } from './lib/verifier-compare.mjs'

const args = process.argv.slice(2)
const option = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : null)
const wants = (part) => option('--only') === null || option('--only') === part
const XSKS = mapSpec({ name: 'xsks', type: MapType.XSKMAP, keySize: 4, valueSize: 4, maxEntries: 4 })
const LARGEST_CONTEXT = 264
const LARGEST_SOCKET = 128

/** Linux 6.18 compares the offsets of tracepoints' contexts as unsigned numbers: what lies below passes. */
const isKnown = (hook, what) => hook.type === ProgType.TRACEPOINT && /^(signed )?load .* -\d+\)/.test(what)
const comparison = new Comparison('verifier-contexts', [XSKS], isKnown)
const compare = (...given) => comparison.run(...given)

const SIZES = [1, 2, 4, 8]
function* places(largest) {
  for (let at = -8; at < largest; at++)
    for (const size of SIZES) yield [size, `*(u${size * 8} *)(r1 ${at < 0 ? '' : '+'}${at})`, at]
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
for (const hook of all) {
  const end = `\nr0 = ${hook.retval}\nexit`
  for (const [size, place] of places(LARGEST_CONTEXT)) {
    if (wants('loads')) {
      compare(`load ${place}`, hook, `r2 = ${place}${end}`)
      // Numbers can be masked, pointers cannot.
      compare(`load ${place} of a number`, hook, `r2 = ${place}\nr2 &= 1${end}`)
      if (size < 8) compare(`signed load ${place}`, hook, `r2 = ${place.replace('(u', '(s')}${end}`)
    }
    if (wants('stores')) {
      compare(`store ${place}`, hook, `r2 = 0\n${place} = r2${end}`)
      compare(`store ${place} of a constant`, hook, `${place} = 0${end}`)
    }
  }
  if (wants('helpers')) for (let id = 0; id <= HELPERS.length + 2; id++) compare(`call ${id}`, hook, `call ${id}${end}`)
  comparison.progress(hook.name)
}
if (wants('sockets')) {
  for (const { name, type, text } of SOCKETS) {
    if (!all.some((hook) => hook.type === type)) continue
    for (const [, place] of places(LARGEST_SOCKET)) {
      // These two halves of 64-bit fields pass, and then the kernel warns that it cannot convert them.
      if (name === 'tcp_sock' && /u32.*\+(84|92)/.test(place)) continue
      compare(`load ${place}`, { name, type, attachType: 0 }, `${text}\nr2 = ${place}\nout:\nr0 = 0\nexit`)
      compare(`store ${place}`, { name, type, attachType: 0 }, `${text}\nr2 = 0\n${place} = r2\nout:\nr0 = 0\nexit`)
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
