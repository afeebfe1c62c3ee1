// Selftest programs of the kernel say in their BTF what a test run returns (__retval). Each is loaded alone, in the way of
// the kernel's test_loader.c, and run in the vm's JIT and in its interpreter, on 64 zero bytes (syscall programs: on
// nothing). Where the running kernel can load it too, it is asked as well.
//
//   node test/oracle/selftest-retval.mjs [FILTER]    writes docs/results/selftest-retval.json (not with FILTER)
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { isBpfError } from '../../dist/bytes/index.js'
import { BtfKind } from '../../dist/btf/index.js'
import { openKernelBackend } from '../../dist/kernel/index.js'
import { load, openObject } from '../../dist/loader/index.js'
import { ProgType, progTypeName } from '../../dist/uapi/index.js'
import { createVm } from '../../dist/vm/index.js'
import { oracleDir, writeResult } from './results.mjs'

const filter = process.argv[2] ?? ''
const TEST_DATA_LEN = 64
const NAMED = { INT_MIN: -0x80000000, TEST_DATA_LEN }
/** Any value will do: the program returns a pointer. */
const POINTER_VALUE = 'POINTER_VALUE'
/** Maps that test programs expect to be filled (prog_tests/verifier.c): element 0 of `map_array_ro` and its kind. */
const FILLED = {
  verifier_array_access: 'map_array_ro',
  verifier_value_ptr_arith: 'map_array_48b',
}

/** Causes that the outcome itself does not tell. */
const CAUSES = {
  'verifier_arena/basic_alloc3': 'struct bpf_map: maps of the vm have a layout of their own',
  'verifier_arena_large/big_alloc1':
    'arena: 4 GiB are more than the whole of a 32-bit memory (this kernel returns another value too)',
}

/** Tags of the functions of an object: name to tags. */
function tagsOf(btf) {
  const tags = new Map()
  for (const id of btf.ids()) {
    if (btf.kind(id) !== BtfKind.DECL_TAG) continue
    const { name, type: typeId, componentIndex } = btf.type(id)
    if (componentIndex !== -1 || btf.kind(typeId) !== BtfKind.FUNC || !name.startsWith('comment:test_')) continue
    const fn = btf.name(typeId)
    if (!tags.has(fn)) tags.set(fn, [])
    tags.get(fn).push(name.slice('comment:test_'.length))
  }
  return tags
}

function testOf(tags) {
  const value = (prefix) => tags.find((tag) => tag.startsWith(prefix))?.slice(prefix.length)
  const retval = value('retval=')
  if (retval === undefined || tags.includes('expect_failure')) return null
  // A test that only speaks of unprivileged users is for them.
  if (!tags.includes('expect_success') && tags.some((tag) => tag.endsWith('_unpriv'))) return null
  const arches = tags.filter((tag) => tag.startsWith('arch=')).map((tag) => tag.slice(5))
  if (arches.length > 0 && !arches.includes('X86_64')) return null
  return { retval: retval === POINTER_VALUE ? retval : (NAMED[retval] ?? Number(retval) | 0), btf: value('btf_path=') }
}

async function run(backend, bytes, object, program, tags) {
  const spec = openObject(bytes, { name: object })
  for (const each of Object.values(spec.programs)) {
    each.autoload = each.name === program || (tags.get(each.name) ?? []).includes('auxiliary')
  }
  let loaded
  try {
    loaded = await load(spec, backend, {})
  } catch (error) {
    if (!isBpfError(error)) throw error
    return { stage: 'load', code: error.code, message: error.message.trim().split('\n')[0] }
  }
  try {
    const target = loaded.programs[program]
    if (target === undefined) {
      const report = loaded.report.programs.find((p) => p.name === program)
      const map = loaded.report.maps.find((m) => m.status === 'failed')
      const error = report?.error ?? map?.error
      return {
        stage: 'load',
        code: error?.code ?? report?.status,
        message: (error?.message ?? '').trim().split('\n')[0],
      }
    }
    const filled = FILLED[object]
    const map = filled === undefined ? undefined : loaded.maps[filled]
    if (map !== undefined) {
      // struct test_val: an index in bytes, then twelve (or eleven) numbers.
      const value = new Uint8Array(map.raw.valueSize)
      const view = new DataView(value.buffer)
      view.setUint32(0, 7 * 4, true)
      view.setUint32(4 + 6 * 4, 0xabcdef12, true)
      map.raw.update(new Uint8Array(4), value)
    }
    const syscall = spec.programs[program].type === ProgType.SYSCALL
    const { retval } = target.run(syscall ? {} : { data: new Uint8Array(TEST_DATA_LEN) })
    return { stage: 'run', retval: retval | 0 }
  } catch (error) {
    if (!isBpfError(error)) throw error
    return { stage: 'run', code: error.code, message: error.message.trim().split('\n')[0] }
  } finally {
    loaded.close()
  }
}

const kernel = openKernelBackend()
const btf = kernel.kernelBtf()
const task = { pid: process.pid, tgid: process.pid, uid: process.getuid(), gid: process.getgid(), comm: 'node' }
const good = (outcome, test) =>
  outcome.stage === 'run' &&
  outcome.retval !== undefined &&
  (test.retval === POINTER_VALUE || outcome.retval === test.retval)

let total = 0
let equal = 0
let inKernel = 0
const differences = []
const programTypes = {}
const directory = join(oracleDir(), 'objs')
for (const file of readdirSync(directory).filter((name) => name.endsWith('.bpf.o'))) {
  const object = file.slice(0, -'.bpf.o'.length)
  const bytes = readFileSync(join(directory, file))
  if (!bytes.includes('comment:test_retval=')) continue
  let spec
  try {
    spec = openObject(bytes, { name: object })
  } catch (error) {
    console.log(`${object}: ${error.message}`)
    continue
  }
  const tags = tagsOf(spec.btf)
  for (const { name, type } of Object.values(spec.programs)) {
    const test = testOf(tags.get(name) ?? [])
    if (test === null || !`${object}/${name}`.includes(filter)) continue
    total++
    programTypes[progTypeName(type)] = (programTypes[progTypeName(type)] ?? 0) + 1
    const outcomes = {}
    // Some bring the types that CO-RE relocates against.
    const types = test.btf === undefined ? btf : openObject(readFileSync(join(directory, test.btf))).btf
    for (const jit of [true, false]) {
      const vm = createVm({ verify: false, btf: types, cpus: kernel.cpus, jit, task })
      try {
        outcomes[jit ? 'jit' : 'interpreter'] = await run(vm, bytes, object, name, tags)
      } finally {
        vm.close()
      }
    }
    const fromKernel = await run(kernel, bytes, object, name, tags)
    if (good(fromKernel, test)) inKernel++
    if (good(outcomes.jit, test) && good(outcomes.interpreter, test)) {
      equal++
      continue
    }
    const { jit, interpreter } = outcomes
    differences.push({
      program: `${object}/${name}`,
      type: progTypeName(type),
      expected: test.retval,
      class: classOf(`${object}/${name}`, jit, interpreter),
      jit,
      ...(JSON.stringify(jit) === JSON.stringify(interpreter) ? {} : { interpreter }),
      kernel: fromKernel,
    })
  }
}

function classOf(program, jit, interpreter) {
  if (CAUSES[program] !== undefined) return CAUSES[program]
  const { message = '', code } = jit.code === undefined ? interpreter : jit
  if (code === undefined) return 'other value'
  if (/helper/.test(message)) return `helper: ${/bpf_\w+|#\d+/.exec(message)?.[0] ?? message}`
  if (/bpf_kfunc_|bpf_iter_testmod/.test(message)) return 'module: bpf_testmod is not there (nor in the kernel)'
  if (/kernel function|kfunc/.test(message)) return `kfunc: ${/bpf_\w+/.exec(message)?.[0] ?? message}`
  if (/map type|type of map|maps of type/.test(message)) return `map: ${message}`
  return `${code}: ${message.replace(/-?\b(0x[0-9a-f]+|\d+)\b/g, 'N')}`.slice(0, 120)
}

const classes = {}
for (const each of differences) classes[each.class] = (classes[each.class] ?? 0) + 1
const sorted = Object.fromEntries(Object.entries(classes).sort((a, b) => b[1] - a[1]))
console.log(sorted)
if (filter === '')
  writeResult('selftest-retval', {
    equal,
    total,
    percent: Number(((100 * equal) / total).toFixed(1)),
    inKernel,
    programTypes,
    classes: sorted,
    differences,
  })
else console.log(differences, `selftest-retval: ${equal} of ${total} (kernel ${inKernel})`)
kernel.close()
