// Oracle: decode() against the running kernel's verifier. Slots with every opcode and many values of the other fields
// are loaded in an otherwise valid program; where the kernel says that the instruction itself is malformed (unknown
// opcode, reserved field, bad register), decode() must refuse it, and only then.
//
// Usage: node test/oracle/decode-vs-kernel.mjs [COUNT]   (needs dist/, the addon and root)
import { assemble, decode, InsnBuffer } from '../../dist/isa/index.js'
import { Attr, closeFd, tryBpf } from '../../dist/kernel/index.js'
import { Cmd, ProgType } from '../../dist/uapi/index.js'
import { writeResult } from './results.mjs'

const count = Number(process.argv[2] ?? 60_000)

const FIELDS = {
  src: [0, 1, 2, 3, 11],
  dst: [0, 1, 11],
  off: [0, 1, 8, 16, 32, -1, 64],
  imm: [0, 1, 16, 0xe1, 0x41, 0x10000, 0x100, -1],
}

/** What the kernel says of an instruction that is wrong in itself. */
const MALFORMED =
  /reserved field|unknown opcode|BPF_ATOMIC uses|invalid atomic operand size|(invalid|unrecognized) bpf_ld_imm64|invalid BPF_LD_IMM|R1[1-5] is invalid|invalid may_goto|addr_space_cast insn can only convert/
/** Complaints that come before the instruction is looked at, or about what it refers to. */
const ELSEWHERE =
  /unreachable insn|out of range from|last insn is not|invalid destination|jump into the middle|not pointing to valid|btf_id|BTF|associated arena/
/** Instructions that decode() knows and Linux 6.18 refuses: gotox (6.19) and callx (clang's, never in Linux). */
const NEWER = new Set([0x0d, 0x8d])

const before = assemble(`r6 = r1\n${[0, 2, 3, 4, 5, 7, 8, 9].map((r) => `r${r} = 1`).join('\n')}`)
const after = assemble(`${'r0 = 0\n'.repeat(71)}exit`)
const license = new TextEncoder().encode('GPL\0')

let seed = 3
function pick(values) {
  seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
  return values[(seed >> 8) % values.length]
}

/** The kernel's log, or null when it accepts the program. */
function verdict(slots) {
  const program = new InsnBuffer(before.length + slots.length + after.length)
  program.set(before, 0)
  program.set(slots, before.length)
  program.set(after, before.length + slots.length)
  const log = new Uint8Array(4096)
  const fd = tryBpf(
    Cmd.PROG_LOAD,
    new Attr('PROG_LOAD', {
      prog_type: ProgType.SCHED_CLS,
      insns: program.toBytes(),
      insn_cnt: program.length,
      license,
      log_buf: log,
      log_size: log.length,
      log_level: 1,
    }),
  )
  if (fd >= 0) closeFd(fd)
  return fd >= 0 ? null : new TextDecoder().decode(log.subarray(0, log.indexOf(0)))
}

function refusal(slots) {
  try {
    decode(slots, 0)
    return null
  } catch (error) {
    return error.message
  }
}

const differences = []
let equal = 0
let total = 0
let elsewhere = 0
for (let i = 0; i < count; i++) {
  const code = i & 255
  const slots = new InsnBuffer(code === 0x18 ? 2 : 1)
  slots.code[0] = code
  for (const [field, values] of Object.entries(FIELDS)) slots[field][0] = pick(values)
  // Most fields of most instructions must be zero: without this, hardly any slot would be valid.
  for (const field of Object.keys(FIELDS)) if (pick([true, false, false])) slots[field][0] = 0
  const ours = refusal(slots)
  const log = verdict(slots)
  const theirs = log !== null && MALFORMED.test(log)
  if (log !== null && !theirs && ELSEWHERE.test(log)) {
    elsewhere++
    continue
  }
  total++
  if (theirs === (ours !== null) || (theirs && NEWER.has(code))) equal++
  else {
    const hex = Buffer.from(slots.toBytes()).toString('hex')
    differences.push({ slot: hex, kernel: log?.trim().split('\n').at(-2) ?? 'accepted', decode: ours ?? 'accepted' })
  }
}
console.log(`${elsewhere} slots without a verdict on the instruction itself`)
for (const d of differences.slice(0, 20)) console.log(JSON.stringify(d))
writeResult('decode-vs-kernel', { equal, total, elsewhere, differences: differences.slice(0, 200) })
process.exitCode = differences.length === 0 ? 0 : 1
