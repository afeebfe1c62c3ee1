// Writes src/uapi/helpers.generated.ts and src/uapi/helper-ids.generated.ts: facts about the helper functions, read
// from a kernel's source.
//
//   node scripts/generate-helpers.mjs [--check] LINUX_SOURCE
//
// LINUX_SOURCE is a directory with the files of FILES and include/: linux-source-6.12 in the directory of the oracles,
// which test/oracle/prepare/prepare.sh unpacks from Debian's package. `--check` writes nothing, and fails when what is
// there differs from what would be written.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const check = process.argv.includes('--check')
const source = process.argv.slice(2).find((word) => word !== '--check')
if (source === undefined) throw new Error('usage: node scripts/generate-helpers.mjs [--check] LINUX_SOURCE')

const FILES = [
  'kernel/bpf/arraymap.c',
  'kernel/bpf/bpf_cgrp_storage.c',
  'kernel/bpf/bpf_inode_storage.c',
  'kernel/bpf/bpf_iter.c',
  'kernel/bpf/bpf_lsm.c',
  'kernel/bpf/bpf_struct_ops.c',
  'kernel/bpf/bpf_task_storage.c',
  'kernel/bpf/btf.c',
  'kernel/bpf/cgroup.c',
  'kernel/bpf/cgroup_iter.c',
  'kernel/bpf/core.c',
  'kernel/bpf/helpers.c',
  'kernel/bpf/ringbuf.c',
  'kernel/bpf/stackmap.c',
  'kernel/bpf/syscall.c',
  'kernel/bpf/task_iter.c',
  'kernel/trace/bpf_trace.c',
  'net/core/filter.c',
  'net/core/bpf_sk_storage.c',
  'net/core/lwt_bpf.c',
  'net/core/sock_map.c',
  'net/ipv4/bpf_tcp_ca.c',
  'drivers/media/rc/bpf-lirc.c',
  'net/netfilter/nf_bpf_link.c',
]
const read = (path) => readFileSync(join(source, path), 'utf8')
const withoutComments = (text) => text.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/\/\/.*/g, '')
const code = FILES.map((path) => withoutComments(read(path))).join('\n')
const header = read('include/uapi/linux/bpf.h')
const version = /^VERSION = (\d+)\nPATCHLEVEL = (\d+)/m.exec(read('Makefile'))

// First kernel release of each range of ids. The uapi header does not say; from the dates of the commits that added
// them (a helper merged for the next release counts for that one).
const SINCE = [
  [1, '3.19'],
  [4, '4.1'],
  [12, '4.2'],
  [17, '4.3'],
  [23, '4.4'],
  [26, '4.5'],
  [27, '4.6'],
  [31, '4.8'],
  [37, '4.9'],
  [42, '4.10'],
  [45, '4.11'],
  [46, '4.12'],
  [48, '4.13'],
  [51, '4.14'],
  [54, '4.15'],
  [58, '4.16'],
  [60, '4.17'],
  [65, '4.18'],
  [81, '4.19'],
  [84, '4.20'],
  [91, '5.0'],
  [93, '5.1'],
  [99, '5.2'],
  [109, '5.3'],
  [110, '5.4'],
  [111, '5.5'],
  [116, '5.6'],
  [119, '5.7'],
  [125, '5.8'],
  [136, '5.9'],
  [142, '5.10'],
  [156, '5.11'],
  [163, '5.12'],
  [164, '5.13'],
  [166, '5.14'],
  [169, '5.15'],
  [176, '5.16'],
  [180, '5.17'],
  [186, '5.18'],
  [194, '5.19'],
  [204, '6.0'],
  [208, '6.1'],
  [210, '6.2'],
]
const sinceOf = (id) => SINCE.findLast(([first]) => first <= id)[1]

/** Name and id of every helper. */
const ids = [...header.matchAll(/^\tFN\((\w+), (\d+), ##ctx\)/gm)]
  .map((m) => [m[1], Number(m[2])])
  .filter(([, id]) => id > 0)

/** C prototypes, from the documentation in the header; a long one goes on in the next line. */
const prototypes = new Map()
const comment = header.replace(/\n \*\t\t(?=[^\n]*\)\n \*\s+Description)/g, ' ')
for (const m of comment.matchAll(/^ \* ((?:const )?(?:struct )?\w+ \*?)bpf_(\w+)\(([^;()]*)\)\n \*\s+Description/gm)) {
  prototypes.set(m[2], {
    ret: m[1].trim(),
    args: m[3].replace(/\s+\*?\s*(?=\w+ )/g, (s) => (s.includes('*') ? s : ' ')),
  })
}

/** Aliases of argument and return types: the name to its base and flags. */
const aliases = new Map()
for (const m of withoutComments(read('include/linux/bpf.h')).matchAll(/^\t((?:ARG|RET)_\w+)\s*=\s*([A-Z_|\s]+),/gm)) {
  aliases.set(
    m[1],
    m[2].split('|').map((word) => word.trim()),
  )
}
const aliasFlags = new Set([...aliases.values()].flat().filter((word) => !/^(ARG|RET)_/.test(word)))

/** `ARG_PTR_TO_MEM_OR_NULL | MEM_RDONLY` to a base type and sorted flags. */
function typeOf(text) {
  const words = text.split('|').map((word) => word.trim())
  for (let i = 0; i < words.length; i++) {
    const alias = aliases.get(words[i])
    if (alias !== undefined && alias.some((word) => word !== words[i])) words.splice(i--, 1, ...alias)
  }
  const base = words.find((word) => /^(ARG|RET)_/.test(word))
  const flags = [...new Set(words.filter((word) => word !== base))].map((word) => word.replace(/^PTR_/, ''))
  return { type: base.replace(/^(ARG|RET)_/, ''), flags: flags.toSorted((a, b) => (a < b ? -1 : 1)) }
}

/** Kernel structures behind the id lists that prototypes point to. */
const BTF_NAMES = {
  'btf_tracing_ids[BTF_TRACING_TYPE_TASK]': 'task_struct',
  'btf_tracing_ids[BTF_TRACING_TYPE_FILE]': 'file',
  'btf_tracing_ids[BTF_TRACING_TYPE_VMA]': 'vm_area_struct',
  tcp_sock_id: 'tcp_sock',
}
for (const m of code.matchAll(/BTF_ID_LIST(?:_GLOBAL)?_SINGLE\((\w+), struct, (\w+)\)/g)) BTF_NAMES[`${m[1]}[0]`] = m[2]
for (const m of code.matchAll(/BTF_ID_LIST(?:_GLOBAL)?\((\w+)[^)]*\)((?:\s*BTF_ID\(struct, \w+\))+)/g)) {
  const structs = [...m[2].matchAll(/struct, (\w+)/g)]
  structs.forEach((struct, i) => (BTF_NAMES[`${m[1]}[${i}]`] = struct[1]))
}
for (const m of read('include/linux/btf_ids.h').matchAll(/BTF_SOCK_TYPE\((BTF_SOCK_TYPE_\w+), (\w+)\)/g)) {
  BTF_NAMES[`btf_sock_ids[${m[1]}]`] = m[2]
}

/** bpf_func_proto definitions by variable name. */
const protos = new Map()
for (const m of code.matchAll(/const struct bpf_func_proto (\w+)(?: __weak)? = \{([\s\S]*?)\n\};/g)) {
  const fields = {}
  for (const f of `${m[2]},`.matchAll(/\.(\w+)\s*=\s*([^,]+),/g)) fields[f[1]] = f[2].replace(/\s+/g, ' ').trim()
  if (!('ret_type' in fields)) continue
  protos.set(m[1], fields)
}

/** Functions that hand out prototypes: what they offer, and the getters they fall back on. */
const getters = new Map()
for (const m of code.matchAll(
  /^(?:static )?const struct bpf_func_proto \*\s*(\w+)\(enum bpf_func_id[^)]*\)\n\{([\s\S]*?)^\}/gm,
)) {
  const offered = new Map()
  for (const c of m[2].matchAll(
    /((?:\s*case BPF_FUNC_\w+:)+)([\s\S]*?)(?=\n\s*case BPF_FUNC_|\n\s*default:|\n\t\})/g,
  )) {
    const answers = [...c[2].matchAll(/&(\w+_proto\w*)\b/g)].map((a) => a[1])
    // Some are handed out by a function of their own, or by a switch over the attach type.
    if (answers.length === 0 && /\bbpf_get_\w+_proto\(|switch \(prog->expected_attach_type\)/.test(c[2])) {
      answers.push(`bpf_${/BPF_FUNC_(\w+)/.exec(c[1])[1]}_proto`)
    }
    if (answers.length === 0) continue
    for (const f of c[1].matchAll(/BPF_FUNC_(\w+)/g)) offered.set(f[1], answers)
  }
  const fallbacks = [...m[2].matchAll(/(\w+)\(func_id, prog\)/g)].map((c) => c[1])
  getters.set(m[1], { offered, fallbacks })
}

function offeredBy(name, seen = new Set()) {
  const all = new Set()
  const getter = getters.get(name)
  if (getter === undefined || seen.has(name)) return all
  seen.add(name)
  for (const helper of getter.offered.keys()) all.add(helper)
  for (const other of getter.fallbacks) for (const helper of offeredBy(other, seen)) all.add(helper)
  return all
}

/** Getters of each program type, through its verifier operations. */
const progTypes = [...withoutComments(header).matchAll(/^\tBPF_PROG_TYPE_(\w+),/gm)].map((m) => m[1])
const helperTypes = new Map(ids.map(([name]) => [name, new Set()]))
const getterOf = new Map()
for (const m of code.matchAll(/const struct bpf_verifier_ops (\w+)_verifier_ops = \{([\s\S]*?)\n\};/g)) {
  const getter = /\.get_func_proto\s*=\s*(\w+)/.exec(m[2])
  if (getter !== null) getterOf.set(m[1], getter[1])
}
const unknownGetters = []
for (const m of read('include/linux/bpf_types.h').matchAll(/BPF_PROG_TYPE\(BPF_PROG_TYPE_(\w+), (\w+)/g)) {
  // freplace programs have the helpers of the program whose function they replace.
  if (m[1] === 'EXT') continue
  // Each kind of struct_ops brings its own getter: the one that all share, and the one of TCP congestion control.
  const getter = m[1] === 'STRUCT_OPS' ? 'bpf_tcp_ca_get_func_proto' : getterOf.get(m[2])
  if (getter === undefined || !getters.has(getter)) {
    unknownGetters.push(`${m[1]} (${getter})`)
    continue
  }
  for (const helper of offeredBy(getter)) helperTypes.get(helper)?.add(progTypes.indexOf(m[1]))
}

/** The prototype of a helper: the one of its own function, or the first that a getter gives for it. */
function protoOf(name) {
  const own = [...protos.values()].find((p) => p.func === `bpf_${name}`)
  if (own !== undefined) return own
  for (const { offered } of getters.values()) {
    for (const answer of offered.get(name) ?? []) if (protos.has(answer)) return protos.get(answer)
  }
  return undefined
}

const SIZES = { 'sizeof(u64)': 8, 'sizeof(s64)': 8, 'sizeof(unsigned long)': 8, 'sizeof(long)': 8, 'sizeof(u32)': 4 }
/** Sizes of the structures that fixed-size arguments point to. */
const STRUCT_SIZES = { iphdr: 20, tcphdr: 20, ipv6hdr: 40 }
function sizeOf(text) {
  const struct = /sizeof\(struct (\w+)\)/.exec(text)
  const size = SIZES[text] ?? (struct === null ? undefined : STRUCT_SIZES[struct[1]])
  if (size === undefined) throw new Error(`unknown size ${text}`)
  return size
}

/**
 * Flags of arguments (from 1) that Linux 6.18.44 has and the source of 6.12 does not: corrections of prototypes that did
 * not say whether the helper writes to its memory.
 */
const CORRECTIONS = {
  d_path: { 2: ['MEM_WRITE'] },
  read_branch_records: { 2: ['MEM_WRITE'] },
  fib_lookup: { 2: ['MEM_WRITE'] },
  snprintf_btf: { 1: ['MEM_WRITE'] },
  snprintf: { 1: ['MEM_WRITE'] },
  sysctl_get_name: { 2: ['MEM_WRITE'] },
  kallsyms_lookup_name: { 1: ['MEM_RDONLY'] },
  tcp_raw_check_syncookie_ipv4: { 1: ['MEM_RDONLY'], 2: ['MEM_RDONLY'] },
  tcp_raw_check_syncookie_ipv6: { 1: ['MEM_RDONLY'], 2: ['MEM_RDONLY'] },
  tcp_raw_gen_syncookie_ipv4: { 1: ['MEM_RDONLY'], 2: ['MEM_RDONLY'] },
  tcp_raw_gen_syncookie_ipv6: { 1: ['MEM_RDONLY'], 2: ['MEM_RDONLY'] },
}

/**
 * Helpers that Linux 6.18.44 offers to more program types than the source of 6.12: as it offers another one, or to these
 * types as well. (`elfbee feature probe --helpers` asks a kernel.)
 */
const OFFERED_AS = {
  ...Object.fromEntries(
    [
      'get_current_uid_gid',
      'get_cgroup_classid',
      'current_task_under_cgroup',
      'task_storage_get',
      'task_storage_delete',
    ].map((name) => [name, 'jiffies64']),
  ),
  ...Object.fromEntries(
    [
      'get_current_comm',
      'perf_event_read',
      'perf_event_read_value',
      'send_signal',
      'send_signal_thread',
      'get_task_stack',
      'copy_from_user',
      'copy_from_user_task',
      'get_branch_snapshot',
      'find_vma',
    ].map((name) => [name, 'probe_read_user']),
  ),
}
const OFFERED_TO = { get_netns_cookie: ['SOCKET_FILTER', 'SCHED_CLS', 'SCHED_ACT', 'CGROUP_SKB'] }
for (const [name, other] of Object.entries(OFFERED_AS)) {
  for (const type of helperTypes.get(other)) helperTypes.get(name).add(type)
}
for (const [name, types] of Object.entries(OFFERED_TO)) {
  for (const type of types) helperTypes.get(name).add(progTypes.indexOf(type))
}

const quote = (text) => `'${text}'`
const list = (words) => `[${words.map(quote).join(', ')}]`
const sets = []
const setOf = (numbers) => {
  const text = `[${[...numbers].sort((a, b) => a - b).join(', ')}]`
  if (!sets.includes(text)) sets.push(text)
  return sets.indexOf(text)
}

function typeText({ type, flags }, extra) {
  return `{ type: ${quote(type)}, flags: ${list(flags)}${extra} }`
}

const missing = []
let rows = ''
for (const [name, id] of ids) {
  const proto = protoOf(name)
  const c = prototypes.get(name)
  if (proto === undefined || c === undefined) missing.push(`${name}${proto === undefined ? ' (proto)' : ' (C)'}`)
  const btf = (field) => {
    const at = proto?.[field]?.replace(/^&/, '')
    if (at === undefined || at === 'BPF_PTR_POISON') return ''
    const struct = BTF_NAMES[at] ?? BTF_NAMES[`${at}[0]`]
    if (struct === undefined) throw new Error(`${name}: unknown BTF id ${at}`)
    return `, btf: ${quote(struct)}`
  }
  const args = []
  for (let i = 1; i <= 5; i++) {
    const type = proto?.[`arg${i}_type`]
    if (type === undefined || type === 'ARG_DONTCARE') break
    const size = proto[`arg${i}_size`]
    const argument = [type, ...(CORRECTIONS[name]?.[i] ?? [])].join(' | ')
    args.push(
      typeText(typeOf(argument), `${btf(`arg${i}_btf_id`)}${size === undefined ? '' : `, size: ${sizeOf(size)}`}`),
    )
  }
  const ret = typeText(typeOf(proto?.ret_type ?? 'RET_INTEGER'), btf('ret_btf_id'))
  const text = c === undefined ? '' : `${c.ret}${c.ret.endsWith('*') ? '' : ' '}bpf_${name}(${c.args})`
  const flag = (field) => proto?.[field] === 'true'
  rows += `  {
    id: ${id},
    name: ${quote(name)},
    since: ${quote(sinceOf(id))},
    gplOnly: ${flag('gpl_only')},
    packetAccess: ${flag('pkt_access')},
    mightSleep: ${flag('might_sleep')},
    prototype: ${quote(text)},
    args: [${args.join(', ')}],
    ret: ${ret},
    progTypes: TYPES[${setOf(helperTypes.get(name))}] as readonly number[],
  },\n`
}
if (missing.length > 0) console.error(`without a prototype: ${missing.join(', ')}`)
if (unknownGetters.length > 0) console.error(`without a getter: ${unknownGetters.join(', ')}`)

const from = `Generated by scripts/generate-helpers.mjs from the source of Linux ${version[1]}.${version[2]}. Do not edit.`
output(
  'helper-ids',
  `
/** Ids of the helper functions (enum bpf_func_id), by name without \`bpf_\`. The list is frozen since Linux 6.2. */
export const HelperId = {
${ids.map(([name, id]) => `  ${name}: ${id},`).join('\n')}
} as const
`,
)
output(
  'helpers',
  `import type { HelperRow } from './helper-types.ts'

/** Sets of program types that share their helpers. */
const TYPES: readonly (readonly number[])[] = [
${sets.map((set) => `  ${set},`).join('\n')}
]

/** Every helper function in order of id (ids start at 1). */
export const HELPERS: readonly HelperRow[] = [
${rows}]
`,
)
console.log(`${ids.length} helpers, flags: ${[...aliasFlags].join(' ')}`)

/** Writes src/uapi/NAME.generated.ts, or compares it. */
function output(name, body) {
  const file = fileURLToPath(new URL(`../src/uapi/${name}.generated.ts`, import.meta.url))
  const text = `// ${from}\n${body}`
  if (!check) writeFileSync(file, text)
  else if (readFileSync(file, 'utf8') !== text) {
    console.error(`${file} is not what this script gives: run it without --check`)
    process.exitCode = 1
  }
}
