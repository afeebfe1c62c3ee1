// The table tests of the kernel's selftests (test_verifier): the verifier's verdicts against the running kernel's.
//
//   node test/oracle/verifier-table.mjs [--only SUBSTRING] [--verbose]
//
// Needs $ELFBEE_ORACLE_DIR/table-dump.jsonl (prepare.sh harness table): a line a program with the kernel's answer.
// Programs that the kernel refuses before its verifier looks at them (trampolines under lockdown), or for a file
// descriptor that is no map, are not counted.
import { readFileSync } from 'node:fs'
import { Btf, BtfKind } from '../../dist/btf/index.js'
import { InsnBuffer } from '../../dist/isa/index.js'
import { mapSpec } from '../../dist/loader/index.js'
import { verify } from '../../dist/vm/verifier/index.js'
import { lastLogLine } from './lib/verifier-corpus.mjs'
import { oracleDir, possibleCpus, writeResult } from './results.mjs'

const args = process.argv.slice(2)
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : null
const verbose = args.includes('--verbose')
const kernelBtf = Btf.parse(readFileSync('/sys/kernel/btf/vmlinux'), { name: 'vmlinux' })
const ERRNO = { 1: 'EPERM', 2: 'ENOENT', 7: 'E2BIG', 13: 'EACCES', 14: 'EFAULT', 22: 'EINVAL', 95: 'EOPNOTSUPP' }
const MISSING_HELPERS = [58, 36]
const MAP_LOAD = 0x18
const FD = 1
const FD_VALUE = 2
const KFUNC = 2
const CALL = 0x85

/** A file descriptor that is no map's: programs name their maps here, so that there is no such thing. */
const NO_MAP = /is not pointing to valid bpf_map/

const parsedBtf = new Map()

function btfOf(hex) {
  if (hex === '') return null
  if (!parsedBtf.has(hex)) parsedBtf.set(hex, Btf.parse(Buffer.from(hex, 'hex'), { name: 'test' }))
  return parsedBtf.get(hex)
}

function mapSpecOf(name, map) {
  const { type, keySize, valueSize, maxEntries, flags, valueTypeId } = map
  const inner = map.inner === null ? null : mapSpecOf(`${name}.inner`, map.inner)
  return mapSpec({ name, type, keySize, valueSize, maxEntries, flags, valueTypeId, inner })
}

/** Name by which a program is attached: of the tracepoint, the iterator or the function. */
function attachTarget(id) {
  if (id === 0) return null
  return kernelBtf.name(id).replace(/^(btf_trace_|bpf_iter_)/, '')
}

/** Positions of maps and kernel functions, which the loader would give. */
function references(insns) {
  const list = []
  for (let i = 0; i < insns.length; i++) {
    const [code, src, imm] = [insns.code[i], insns.src[i], insns.imm[i]]
    if (code === MAP_LOAD) {
      if (src === FD) list.push({ kind: 'map', insn: i, map: `fd${imm}` })
      if (src === FD_VALUE) list.push({ kind: 'mapValue', insn: i, map: `fd${imm}`, offset: insns.imm[i + 1] })
      i++
    } else if (code === CALL && src === KFUNC && imm > 0 && imm < kernelBtf.typeCount) {
      const isFunc = kernelBtf.kind(imm) === BtfKind.FUNC
      list.push({ kind: 'kfunc', insn: i, name: isFunc ? kernelBtf.name(imm) : '', btfId: imm, module: null })
    }
  }
  return list
}

function judge(test) {
  const insns = InsnBuffer.fromBytes(Buffer.from(test.insns, 'hex'))
  const mapBtf = test.maps.find((m) => m.btf !== '')?.btf ?? ''
  const btf = btfOf(test.btf === '' ? mapBtf : test.btf)
  const functions = test.funcInfo.map(([start, btfId]) => {
    const func = btf.type(btfId)
    return { name: func.name, start, btfId }
  })
  const program = {
    spec: {
      name: 'test',
      section: '',
      functionIndex: 0,
      type: test.type,
      attachType: test.attachType,
      flags: test.flags,
      attachTarget: attachTarget(test.attachBtfId),
      autoload: true,
    },
    insns,
    functions: functions.length > 0 ? functions : [{ name: '', start: 0, btfId: 0 }],
    lateReferences: references(insns),
    lines: [],
    core: [],
  }
  const maps = Object.fromEntries(test.maps.map((map) => [`fd${map.fd}`, mapSpecOf(`fd${map.fd}`, map)]))
  const license = 'GPL'
  return verify(program, {
    maps,
    btf,
    kernelBtf,
    license,
    missingHelpers: MISSING_HELPERS,
    cpus: possibleCpus(),
    logLevel: 1,
  })
}

const counts = {
  total: 0,
  equal: 0,
  falseAccepts: 0,
  falseRefusals: 0,
  rightByIgnorance: 0,
  refusals: 0,
  sameMessage: 0,
  sameErrno: 0,
}
const differences = []
const otherWords = []
for (const line of readFileSync(`${oracleDir()}/table-dump.jsonl`, 'utf8').trim().split('\n')) {
  const test = JSON.parse(line)
  if (only !== null && !test.prog.includes(only)) continue
  if (!test.ok && (test.lastLogLine === '' || NO_MAP.test(test.lastLogLine))) continue
  counts.total++
  let r
  try {
    r = judge(test)
  } catch (error) {
    r = { ok: false, errno: 'CRASH', message: error.stack?.split('\n').slice(0, 3).join(' ') }
  }
  const mine = r.ok ? 'ok' : `${r.errno}: ${r.message}`
  const note = { test: test.prog, kernel: test.ok ? 'ok' : test.lastLogLine, elfbee: mine, insn: r.insn }
  if (r.errno === 'UNSUPPORTED' && !test.ok) counts.rightByIgnorance++
  if (r.ok === test.ok && r.errno !== 'CRASH') counts.equal++
  else {
    if (r.ok) counts.falseAccepts++
    else if (test.ok) counts.falseRefusals++
    differences.push(note)
    if (verbose || r.ok) console.log(JSON.stringify(note))
  }
  if (test.ok) continue
  counts.refusals++
  if (lastLogLine(r.log ?? '') === test.lastLogLine) counts.sameMessage++
  else if (!r.ok) otherWords.push(note)
  if (r.errno === ERRNO[test.errno]) counts.sameErrno++
}
console.log(
  `false accepts: ${counts.falseAccepts}; same message: ${counts.sameMessage}, same errno: ${counts.sameErrno} of ${counts.refusals} refusals`,
)
if (only === null) {
  const { equal, total, ...rest } = counts
  writeResult('verifier-table', { equal, total, ...rest, differences, otherWords })
} else console.log(`verifier-table (${only}): ${counts.equal} of ${counts.total}`)
