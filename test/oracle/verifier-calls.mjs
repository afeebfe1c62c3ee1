// Every helper with every kind of argument, every operation on every kind of register, every helper with every type of
// map, every return value: each a small program of its own, judged by the running kernel and here.
//
//   node test/oracle/verifier-calls.mjs [--only PART] [--type NAME]
//
// PART is helpers, kfuncs, operations, accesses, maps or returns. Verdict and last line have to be the same. Needs root and the
// addon. Writes docs/results/verifier-calls.json.
import { ALU_OPS, ALU_VARIANTS, BRANCH_OPS } from '../../dist/isa/index.js'
import { HELPERS, MapType, ProgType } from '../../dist/uapi/index.js'
import { mapSpec } from '../../dist/loader/index.js'
import { Comparison, hooks, kernelFunctions } from './lib/verifier-compare.mjs'

const args = process.argv.slice(2)
const option = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : null)
const wants = (part) => option('--only') === null || option('--only') === part

const map = (name, type, keySize, valueSize, maxEntries, more = {}) =>
  mapSpec({ name, type, keySize, valueSize, maxEntries, ...more })
const NO_PREALLOC = 1
/** map[id:N] by place. */
const MAPS = [
  map('array', MapType.ARRAY, 4, 64, 4),
  map('hash', MapType.HASH, 4, 64, 4),
  map('progs', MapType.PROG_ARRAY, 4, 4, 4),
  map('events', MapType.PERF_EVENT_ARRAY, 4, 4, 4),
  map('percpu_hash', MapType.PERCPU_HASH, 4, 64, 4),
  map('percpu_array', MapType.PERCPU_ARRAY, 4, 64, 4),
  map('stacks', MapType.STACK_TRACE, 4, 64, 4),
  map('cgroups', MapType.CGROUP_ARRAY, 4, 4, 4),
  map('lru', MapType.LRU_HASH, 4, 64, 4),
  map('lru_percpu', MapType.LRU_PERCPU_HASH, 4, 64, 4),
  map('trie', MapType.LPM_TRIE, 8, 64, 4, { flags: NO_PREALLOC }),
  map('devices', MapType.DEVMAP, 4, 4, 4),
  map('device_hash', MapType.DEVMAP_HASH, 4, 4, 4),
  map('sockets', MapType.SOCKMAP, 4, 4, 4),
  map('socket_hash', MapType.SOCKHASH, 4, 4, 4),
  map('cpus', MapType.CPUMAP, 4, 4, 2),
  map('xsks', MapType.XSKMAP, 4, 4, 4),
  map('ports', MapType.REUSEPORT_SOCKARRAY, 4, 4, 4),
  map('queue', MapType.QUEUE, 0, 64, 4),
  map('stack', MapType.STACK, 0, 64, 4),
  map('ring', MapType.RINGBUF, 0, 0, 4096),
  map('user_ring', MapType.USER_RINGBUF, 0, 0, 4096),
  map('bloom', MapType.BLOOM_FILTER, 0, 64, 4),
  map('read_only', MapType.ARRAY, 4, 64, 4, { flags: 128 }),
  map('write_only', MapType.HASH, 4, 64, 4, { flags: 256 }),
]
const compare = new Comparison('verifier-calls', MAPS)

/** How each kind of value gets into a register; r6 is the context, r7 a number, r8 a value of a map, r9 one or null. */
const KINDS = {
  nothing: '',
  zero: 'R = 0',
  eight: 'R = 8',
  minus: 'R = -1',
  number: 'R = r7',
  small: 'R = r7\nR &= 7',
  ctx: 'R = r6',
  frame: 'R = r10',
  stack: 'R = r10\nR += -64',
  raw: 'R = r10\nR += -256',
  moved: 'R = r7\nR &= 7\nR += r10\nR += -64',
  dynptr: 'R = r10\nR += -88',
  map: 'R = map[id:0]',
  value: 'R = r8',
  valueEnd: 'R = r8\nR += 60',
  valueOrNull: 'R = r9',
  task: 'R = *(u64 *)(r10 -72)',
}
// Those without CAP_PERFMON cannot get a task.
const hasTask = !args.includes('--capbpf')
if (!hasTask) delete KINDS.task
const put = (kind, register) => KINDS[kind].replaceAll('R', `r${register}`)

/** Makes what the kinds above take. */
const PRELUDE = `
  r6 = r1
  ${Array.from({ length: 8 }, (_, i) => `*(u64 *)(r10 -${8 * (i + 1)}) = 0`).join('\n')}
  ${hasTask ? 'call bpf_get_current_task_btf\n*(u64 *)(r10 -72) = r0' : ''}
  call bpf_get_prandom_u32
  r7 = r0
  *(u32 *)(r10 -4) = r0
  r2 = r10
  r2 += -4
  r1 = map[id:0]
  call bpf_map_lookup_elem
  if r0 == 0 goto out
  r8 = r0
  r1 = r8
  r2 = 8
  r3 = 0
  r4 = r10
  r4 += -88
  call bpf_dynptr_from_mem
  r2 = r10
  r2 += -4
  r1 = map[id:1]
  call bpf_map_lookup_elem
  r9 = r0`
const around = (text, { retval }) => `${PRELUDE}\n${text}\nout:\nr0 = ${retval}\nexit`

const GOOD = {
  PTR_TO_CTX: 'ctx',
  CONST_MAP_PTR: 'map',
  CONST_SIZE: 'eight',
  CONST_SIZE_OR_ZERO: 'eight',
  CONST_ALLOC_SIZE_OR_ZERO: 'eight',
  ANYTHING: 'zero',
  SCALAR: 'zero',
  PTR_TO_DYNPTR: 'dynptr',
  PTR_TO_BTF_ID: hasTask ? 'task' : 'stack',
}
/** Without CAP_PERFMON the loader takes these for missing, and puts others in their place. */
const REPLACED = ['probe_read_user', 'probe_read_kernel', 'probe_read_user_str', 'probe_read_kernel_str']
const LEFT_OUT = new Set(hasTask ? [] : REPLACED)

function helperCalls(hook) {
  for (const row of HELPERS) {
    if (!row.progTypes.includes(hook.type) || LEFT_OUT.has(row.name)) continue
    const good = row.args.map(({ type }) => GOOD[type] ?? 'stack')
    const call = (kinds) =>
      compare.run(
        `${row.name}(${kinds.join(', ')})`,
        hook,
        around(`${kinds.map((kind, i) => put(kind, i + 1)).join('\n')}\ncall ${row.id}`, hook),
      )
    call(good)
    for (let i = 0; i < good.length; i++) {
      for (const kind of Object.keys(KINDS)) if (kind !== good[i]) call(good.with(i, kind))
    }
  }
}

/** Kernel functions with every kind of first argument, and few others in the registers after it. */
function kfuncCalls(hook) {
  for (const kfunc of kernelFunctions(compare.kernelBtf)) {
    for (const kind of Object.keys(KINDS)) {
      for (const other of ['zero', 'eight', 'stack', 'task', 'dynptr', 'nothing'].filter((each) => each in KINDS)) {
        const rest = [2, 3, 4, 5].map((register) => put(other, register)).join('\n')
        const text = `${put(kind, 1)}\n${rest}\ncall 0`
        compare.run(`${kfunc.name}(${kind}, ${other})`, hook, around(text, hook), kfunc)
      }
    }
  }
}

/** Operations with two operands; those that extend a sign have no immediate. */
const BINARY = [...ALU_OPS, ...ALU_VARIANTS].filter(({ op }) => op !== 'neg')

function operations(hook) {
  const kinds = Object.keys(KINDS)
  for (const width of ['r', 'w']) {
    for (const { op, symbol } of BINARY) {
      for (const a of kinds) {
        for (const b of kinds) {
          const text = `${put(a, 2)}\n${put(b, 3)}\n${width}2 ${symbol}${symbol.endsWith(')') ? '' : ' '}${width}3\nr0 = *(u8 *)(r2 +0)`
          compare.run(`${width}: ${a} ${op} ${b}`, hook, around(text, hook))
        }
        if (op.startsWith('movsx')) continue
        compare.run(
          `${width}: ${a} ${op} 8`,
          hook,
          around(`${put(a, 2)}\n${width}2 ${symbol} 8\nr0 = *(u8 *)(r2 +0)`, hook),
        )
      }
    }
    for (const { op, symbol } of BRANCH_OPS) {
      for (const a of kinds) {
        for (const b of kinds) {
          const text = `${put(a, 2)}\n${put(b, 3)}\nif ${width}2 ${symbol} ${width}3 goto out\nr0 = *(u8 *)(r2 +0)`
          compare.run(`${width}: ${a} ${op} ${b}`, hook, around(text, hook))
        }
        for (const imm of [0, 1]) {
          const text = `${put(a, 2)}\nif ${width}2 ${symbol} ${imm} goto out\nr0 = *(u8 *)(r2 +0)`
          compare.run(`${width}: ${a} ${op} ${imm}`, hook, around(text, hook))
        }
      }
    }
  }
}

function accesses(hook) {
  for (const kind of Object.keys(KINDS)) {
    for (const size of [8, 16, 32, 64]) {
      for (const off of [0, 1, 4, 60, 63, 64, -1, -8, -65, -440, -520]) {
        const place = `*(u${size} *)(r2 ${off < 0 ? '' : '+'}${off})`
        const forms = [
          `r0 = ${place}`,
          `${place} = r7`,
          `${place} = 1`,
          `${place} = r6`,
          `r0 = ${place.replace('(u', '(s')}`,
        ]
        if (size >= 32)
          forms.push(
            `lock ${place} += r7`,
            `r7 = atomic${size === 64 ? '64' : ''}_fetch_add((u${size} *)(r2 ${off < 0 ? '-' : '+'}${Math.abs(off)}), r7)`,
          )
        for (const form of forms) {
          if (size === 64 && form.includes('(s64')) continue
          compare.run(`${kind}: ${form}`, hook, around(`${put(kind, 2)}\n${form}`, hook))
        }
      }
    }
  }
}

/** Helpers that take a map, with each type of map and arguments that are right otherwise. */
function mapHelpers(hook) {
  for (const row of HELPERS) {
    const at = row.args.findIndex(({ type }) => type === 'CONST_MAP_PTR')
    if (at < 0 || !row.progTypes.includes(hook.type)) continue
    MAPS.forEach((spec, id) => {
      const kinds = row.args.map(({ type }) => GOOD[type] ?? 'stack')
      const text = kinds.map((kind, i) => (i === at ? `r${i + 1} = map[id:${id}]` : put(kind, i + 1))).join('\n')
      compare.run(`${row.name} of ${spec.name}`, hook, around(`${text}\ncall ${row.id}`, hook))
    })
  }
}

function returns(hook) {
  for (const value of ['-2', '-1', '0', '1', '2', '3', '4', '7', '8', '4096', '2147483647', '-2147483648']) {
    for (const register of ['r0', 'w0'])
      compare.run(`return ${register} ${value}`, hook, `${register} = ${value}\nexit`)
  }
  for (const mask of [1, 3, 7, 0xff]) {
    compare.run(`return of & ${mask}`, hook, `call bpf_get_prandom_u32\nr0 &= ${mask}\nexit`)
    compare.run(`return of & ${mask} - 1`, hook, `call bpf_get_prandom_u32\nr0 &= ${mask}\nr0 -= 1\nexit`)
  }
  compare.run('return of a number', hook, 'call bpf_get_prandom_u32\nexit')
  compare.run('return of nothing', hook, 'exit')
  for (const from of ['r1', 'r10']) compare.run(`return of ${from}`, hook, `r0 = ${from}\nexit`)
}

const all = hooks(compare, option('--type'))
const oneByType = all.filter(
  ({ type, attachTarget }, i) => attachTarget !== undefined || all.findIndex((other) => other.type === type) === i,
)
for (const hook of all) if (wants('returns')) returns(hook)
for (const hook of oneByType) {
  // Maps that hold programs belong to the first type that uses them.
  compare.renewMaps()
  if (wants('helpers')) helperCalls(hook)
  if (wants('maps')) mapHelpers(hook)
  compare.progress(hook.name)
}
const SOME = new Set(['SCHED_CLS', 'XDP', 'KPROBE', 'SYSCALL', 'TRACING TRACE_RAW_TP', 'CGROUP_SKB'])
for (const hook of oneByType.filter(({ name }) => [...SOME].some((some) => name.startsWith(some)))) {
  if (wants('kfuncs')) kfuncCalls(hook)
  compare.progress(hook.name)
}
for (const hook of oneByType.filter(({ type }) => type === ProgType.SCHED_CLS || type === ProgType.KPROBE)) {
  if (wants('operations')) operations(hook)
  if (wants('accesses')) accesses(hook)
  compare.progress(hook.name)
}
compare.finish(args.length === 0)
