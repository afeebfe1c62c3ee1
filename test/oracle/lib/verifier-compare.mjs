// Small programs from text, judged one by one by the running kernel and by elfbee's verifier. With --capbpf the verifier
// judges for those without CAP_PERFMON, as the kernel does when the script is run by
// `setpriv --bounding-set -all,+bpf,+net_admin --inh-caps -all,+bpf,+net_admin node ...`.
import { isBpfError } from '../../../dist/bytes/index.js'
import { BtfKind } from '../../../dist/btf/index.js'
import { assemble } from '../../../dist/isa/index.js'
import { openKernelBackend } from '../../../dist/kernel/index.js'
import { bareProgram } from '../../../dist/loader/index.js'
import { AttachType, ProgType } from '../../../dist/uapi/index.js'
import { verify } from '../../../dist/vm/verifier/index.js'
import { possibleCpus, writeResult } from '../results.mjs'
import { lastLogLine, MISSING } from './verifier-corpus.mjs'

const SLEEPABLE = 16
const WITHOUT_TARGET = new Set(['UNSPEC', 'TRACING', 'STRUCT_OPS', 'EXT', 'LSM'])

/** A program from text: map[id:N] is the map at place N of `specs`, `call 0` calls the kernel function `kfunc`. */
function prepared(text, { type, attachType, attachTarget = null }, specs, kfunc) {
  const insns = assemble(text)
  const lateReferences = []
  for (let insn = 0; insn < insns.length; insn++) {
    if (insns.code[insn] === 0x18) {
      lateReferences.push({ kind: 'map', insn, map: specs[insns.imm[insn]].name })
      insns.imm[insn] = 0
    }
    if (kfunc === null || insns.code[insn] !== 0x85 || insns.imm[insn] !== 0) continue
    insns.src[insn] = 2
    insns.imm[insn] = kfunc.id
    lateReferences.push({ kind: 'kfunc', insn, name: kfunc.name, btfId: kfunc.id, module: null, weak: false })
  }
  const flags = type === ProgType.SYSCALL ? SLEEPABLE : 0
  return bareProgram(insns, { name: 'p', type, attachType, attachTarget, flags }, { lateReferences })
}

/** Programs that both judge, and what differs. */
export class Comparison {
  #name
  #specs
  #kernel = openKernelBackend()
  #maps = new Map()
  #options
  #known
  #started = Date.now()
  #differences = []
  #counts = { total: 0, equal: 0, falseAccepts: 0, falseRefusals: 0, otherWords: 0, bugsOfTheKernel: 0 }

  /**
   * @param specs of maps; map[id:N] is the one at place N
   * @param known(hook, what): whether the kernel accepts this by a bug that is not copied
   */
  constructor(name, specs, known = () => false) {
    this.#name = name
    this.#specs = specs
    this.#known = known
    this.renewMaps()
    this.#options = {
      maps: Object.fromEntries(specs.map((spec) => [spec.name, spec])),
      btf: null,
      kernelBtf: this.kernelBtf,
      license: 'GPL',
      cpus: possibleCpus(),
      missingHelpers: MISSING,
      ...(process.argv.includes('--capbpf') && { capabilities: ['bpf', 'net_admin'] }),
    }
  }

  /** Makes all maps anew, as those that hold programs belong to the first type of program that uses them. */
  renewMaps() {
    for (const map of this.#maps.values()) map.close()
    const create = (spec) => this.#kernel.createMap({ spec, kernelName: spec.name, btf: null, inner: null })
    this.#maps = new Map(this.#specs.map((spec) => [spec.name, create(spec)]))
  }

  get kernelBtf() {
    return this.#kernel.kernelBtf()
  }

  /** The kernel's last line about a program, null when it takes it. */
  ask(text, hook, kfunc = null) {
    return this.#ask(prepared(text, hook, this.#specs, kfunc))
  }

  #ask(program) {
    const request = { program, license: 'GPL', version: 0, btf: null, maps: this.#maps, bindMaps: [], logLevel: 0 }
    try {
      this.#kernel.loadProgram(request).close()
      return null
    } catch (error) {
      if (!isBpfError(error)) throw error
      const lines = (error.log ?? '').split('\n').filter((line) => !/^(|processed .*|verification time .*)$/.test(line))
      return lines.at(-1) ?? error.message
    }
  }

  run(what, hook, text, kfunc = null) {
    const program = prepared(text, hook, this.#specs, kfunc)
    const theirs = this.#ask(program)
    const result = verify(program, this.#options)
    const counts = this.#counts
    counts.total++
    const isSame = result.ok === (theirs === null)
    if (isSame && (theirs === null || lastLogLine(theirs) === result.message)) {
      counts.equal++
      return
    }
    const kind = isSame ? 'other words' : result.ok ? 'false accept' : 'false refusal'
    const elfbee = result.ok ? 'ok' : `${result.errno}: ${result.message}`
    if (kind === 'false refusal' && this.#known(hook, what)) {
      counts.bugsOfTheKernel++
      return
    }
    if (isSame) counts.otherWords++
    else if (result.ok) counts.falseAccepts++
    else counts.falseRefusals++
    this.#differences.push({ kind, hook: hook.name, what, kernel: theirs ?? 'ok', elfbee })
    console.log(`${kind}: ${hook.name}: ${what}: kernel ${theirs ?? 'ok'}; elfbee ${elfbee}`)
  }

  progress(what) {
    const seconds = Math.round((Date.now() - this.#started) / 1000)
    console.error(`${what}: ${this.#counts.total} tried, ${this.#differences.length} differ, ${seconds} s`)
  }

  /** Prints the counts, and records them if `whole`; differences make the script fail. */
  finish(whole) {
    const counts = this.#counts
    console.log(JSON.stringify(counts))
    const total = counts.total - counts.bugsOfTheKernel
    if (whole) writeResult(this.#name, { ...counts, total, differences: this.#differences })
    else console.log(`${this.#name}: ${counts.equal} of ${total}`)
    for (const map of this.#maps.values()) map.close()
    this.#kernel.close()
    process.exitCode = this.#differences.length === 0 ? 0 : 1
  }
}

/** Some targets, for types that need one. */
const TARGETS = [
  { type: 'TRACING', attach: 'TRACE_RAW_TP', attachTarget: 'sched_switch' },
  { type: 'TRACING', attach: 'TRACE_ITER', attachTarget: 'task' },
  { type: 'TRACING', attach: 'TRACE_ITER', attachTarget: 'tcp' },
]

/**
 * Program types with the attach types that the kernel lets them be loaded for, and a number that they may return. Types
 * that need a target are tried with one tracepoint and two iterators only.
 */
export function hooks(comparison, only = null) {
  const found = TARGETS.filter(({ type }) => (only ?? type) === type)
    .map(({ type, attach, attachTarget }) => ({
      name: `${type} ${attach} ${attachTarget}`,
      type: ProgType[type],
      attachType: AttachType[attach],
      attachTarget,
      retval: 0,
    }))
    .filter((hook) => comparison.ask('r0 = 0\nexit', hook) === null)
  for (const [typeName, type] of Object.entries(ProgType)) {
    if (WITHOUT_TARGET.has(typeName) || (only ?? typeName) !== typeName) continue
    const accepted = []
    for (const [attachName, attachType] of Object.entries(AttachType)) {
      for (const retval of [0, 1]) {
        const hook = { name: `${typeName} ${attachName}`, type, attachType, retval }
        if (comparison.ask(`r0 = ${retval}\nexit`, hook) !== null) continue
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

/** Functions of the kernel that some program may call, by the tag of their BTF. */
export function kernelFunctions(kernelBtf) {
  const found = []
  for (let id = 1; id < kernelBtf.typeCount; id++) {
    const type = kernelBtf.type(id)
    if (type.kind !== BtfKind.DECL_TAG || type.name !== 'bpf_kfunc') continue
    found.push({ id: type.type, name: kernelBtf.type(type.type).name })
  }
  return found
}
