// What each program type may do, tried out one by one on the running kernel and here: every load and store of every byte
// of its context and of the sockets that it may get, and calls of every helper and of every kernel function.
//
//   node test/oracle/verifier-contexts.mjs [--only PART] [--type NAME]
//
// PART is loads, stores, sockets, helpers or kfuncs. Types that need a target (tracing, struct_ops) are not asked. Needs
// root and the addon. Writes docs/results/verifier-contexts.json.
import { isBpfError } from '../../dist/bytes/index.js'
import { BtfKind } from '../../dist/btf/index.js'
import { assemble } from '../../dist/isa/index.js'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { bareProgram, mapSpec } from '../../dist/loader/index.js'
import { AttachType, HELPERS, MapType, ProgType } from '../../dist/uapi/index.js'
import { verify } from '../../dist/vm/verifier/index.js'
import { lastLogLine } from './lib/verifier-corpus.mjs'
import { possibleCpus, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const option = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : null)
const wants = (part) => option('--only') === null || option('--only') === part
const kernel = openKernelBackend()
const kernelBtf = kernel.kernelBtf()
const XSKS = mapSpec({ name: 'xsks', type: MapType.XSKMAP, keySize: 4, valueSize: 4, maxEntries: 4 })
const maps = new Map([['xsks', kernel.createMap({ spec: XSKS, kernelName: 'xsks', btf: null, inner: null })]])
const options = { maps: { xsks: XSKS }, btf: null, kernelBtf, license: 'GPL', cpus: possibleCpus() }
const SLEEPABLE = 16
const WITHOUT_TARGET = new Set(['UNSPEC', 'TRACING', 'STRUCT_OPS', 'EXT', 'LSM'])
/** bpf_override_return and bpf_probe_write_user: off by configuration and by lockdown on this machine. */
const SWITCHED_OFF = [58, 36]
const LARGEST_CONTEXT = 264
const LARGEST_SOCKET = 128

const differences = []
const counts = { total: 0, equal: 0, falseAccepts: 0, falseRefusals: 0, otherWords: 0 }

/** @param kfunc BTF id of what `call 0` in the text stands for */
function prepared(text, { type, attachType }, kfunc) {
  const insns = assemble(text)
  const lateReferences = []
  for (let insn = 0; insn < insns.length; insn++) {
    if (insns.code[insn] === 0x18) lateReferences.push({ kind: 'map', insn, map: 'xsks' })
    if (kfunc !== null && insns.code[insn] === 0x85 && insns.imm[insn] === 0) {
      insns.src[insn] = 2
      insns.imm[insn] = kfunc.id
      lateReferences.push({ kind: 'kfunc', insn, name: kfunc.name, btfId: kfunc.id, module: null, weak: false })
    }
  }
  const flags = type === ProgType.SYSCALL ? SLEEPABLE : 0
  return bareProgram(insns, { name: 'p', type, attachType, flags }, { lateReferences })
}

/** The kernel's last line about a program, null when it takes it. */
function ask(program) {
  const request = { program, license: 'GPL', version: 0, btf: null, maps, bindMaps: [], logLevel: 0 }
  try {
    kernel.loadProgram(request).close()
    return null
  } catch (error) {
    if (!isBpfError(error)) throw error
    const lines = (error.log ?? '').split('\n').filter((line) => !/^(|processed .*|verification time .*)$/.test(line))
    return lines.at(-1) ?? error.message
  }
}

function compare(what, hook, text, kfunc = null) {
  const program = prepared(text, hook, kfunc)
  const theirs = ask(program)
  const result = verify(program, { ...options, missingHelpers: SWITCHED_OFF })
  counts.total++
  const isSame = result.ok === (theirs === null)
  if (isSame && (theirs === null || lastLogLine(theirs) === result.message)) {
    counts.equal++
    return
  }
  const kind = isSame ? 'other words' : result.ok ? 'false accept' : 'false refusal'
  if (isSame) counts.otherWords++
  else if (result.ok) counts.falseAccepts++
  else counts.falseRefusals++
  const elfbee = result.ok ? 'ok' : `${result.errno}: ${result.message}`
  differences.push({ kind, hook: hook.name, what, kernel: theirs ?? 'ok', elfbee })
  console.log(`${kind}: ${hook.name}: ${what}: kernel ${theirs ?? 'ok'}; elfbee ${elfbee}`)
}

/** Program types with the attach types that the kernel lets them be loaded for, and a number that they may return. */
function hooks() {
  const found = []
  for (const [typeName, type] of Object.entries(ProgType)) {
    if (WITHOUT_TARGET.has(typeName) || (option('--type') ?? typeName) !== typeName) continue
    const accepted = []
    for (const [attachName, attachType] of Object.entries(AttachType)) {
      for (const retval of [0, 1]) {
        const hook = { name: `${typeName} ${attachName}`, type, attachType, retval }
        if (ask(prepared(`r0 = ${retval}\nexit`, hook, null)) !== null) continue
        accepted.push(hook)
        break
      }
    }
    // Where the kernel does not look at it, one stands for all.
    const isIgnored = accepted.length === Object.keys(AttachType).length
    found.push(...(isIgnored ? [{ ...accepted[0], name: typeName }] : accepted))
  }
  return found
}

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

/** Functions of the kernel that some program may call, by the tag of their BTF. */
function kernelFunctions() {
  const found = []
  for (let id = 1; id < kernelBtf.typeCount; id++) {
    const type = kernelBtf.type(id)
    if (type.kind !== BtfKind.DECL_TAG || type.name !== 'bpf_kfunc') continue
    found.push({ id: type.type, name: kernelBtf.type(type.type).name })
  }
  return found
}

const started = Date.now()
const all = hooks()
const progress = (what) =>
  console.error(
    `${what}: ${counts.total} tried, ${differences.length} differ, ${Math.round((Date.now() - started) / 1000)} s`,
  )
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
  progress(hook.name)
}
if (wants('sockets')) {
  for (const { name, type, text } of SOCKETS) {
    if (!all.some((hook) => hook.type === type)) continue
    for (const [, place] of places(LARGEST_SOCKET)) {
      compare(`load ${place}`, { name, type, attachType: 0 }, `${text}\nr2 = ${place}\nout:\nr0 = 0\nexit`)
      compare(`store ${place}`, { name, type, attachType: 0 }, `${text}\nr2 = 0\n${place} = r2\nout:\nr0 = 0\nexit`)
    }
  }
  progress('sockets')
}
if (wants('kfuncs')) {
  for (const hook of all.filter(({ type }, i) => all.findIndex((other) => other.type === type) === i)) {
    for (const kfunc of kernelFunctions()) compare(kfunc.name, hook, `call 0\nr0 = ${hook.retval}\nexit`, kfunc)
    progress(`${hook.name}: kernel functions`)
  }
}
console.log(JSON.stringify(counts))
if (args.length === 0) writeResult('verifier-contexts', { ...counts, differences })
else console.log(`verifier-contexts: ${counts.equal} of ${counts.total}`)
for (const map of maps.values()) map.close()
kernel.close()
process.exitCode = differences.length === 0 ? 0 : 1
