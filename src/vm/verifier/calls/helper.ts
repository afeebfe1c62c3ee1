import { AttachType, HELPERS, HelperId as H, type HelperRow, MapFlag, MapType, ProgType } from '../../../uapi/index.ts'
import { isKernelFormat } from '../../runtime/format.ts'
import { Bounds, isConst, type Scalar, umaxOf, valueOf } from '../domain/bounds.ts'
import { markPrecise } from '../precision.ts'
import { BtfKind } from '../../../btf/index.ts'
import { access } from '../memory/access.ts'
import { NEED_BPF } from '../program/unprivileged.ts'
import { xchgResult } from '../memory/kptr.ts'
import type { MapFacts } from '../facts/maps.ts'
import { deny, invalid, Reject, unsupported } from '../reject.ts'
import { Flag, type Kind, NOT_INIT, pointerReg, type Reg, regName, scalarReg, unknownReg } from '../state/register.ts'
import type { Walk } from '../walk.ts'
import { checkArgument, noFacts, type CallFacts } from './arguments.ts'
import { objectReg } from './objects.ts'
import { returnToCaller } from './exit.ts'
import { releaseDynptr, sliceOf } from './dynptr.ts'
import { callCallback } from './callback.ts'
import { hasField } from '../facts/query.ts'
import { inLess } from './kinds.ts'
import { stepLock } from './lock.ts'
import { mapAllows, mayChangeSockmap } from './map-compat.ts'
import { argumentsFor, hasRetval, offeredByIterator } from './variants.ts'
import { allowedByTarget, hasTrampoline, offeredByTarget } from './target-helpers.ts'
import {
  acquire,
  checkNoResources,
  clobberCallerSaved,
  forgetPacketPointers,
  moveReference,
  release,
} from './resources.ts'

/** Helpers after which packet pointers are stale. */
export const CHANGES_PACKET: ReadonlySet<number> = new Set(
  [
    H.skb_vlan_push,
    H.skb_vlan_pop,
    H.skb_store_bytes,
    H.skb_change_proto,
    H.skb_change_head,
    H.skb_change_tail,
    H.skb_pull_data,
    H.clone_redirect,
    H.l3_csum_replace,
    H.l4_csum_replace,
    H.xdp_adjust_head,
    H.xdp_adjust_meta,
    H.msg_pull_data,
    H.msg_push_data,
    H.msg_pop_data,
    H.xdp_adjust_tail,
    H.lwt_push_encap,
    H.lwt_seg6_store_bytes,
    H.lwt_seg6_adjust_srh,
    H.lwt_seg6_action,
    H.sk_assign,
    H.store_hdr_opt,
    H.skb_adjust_room,
    H.tail_call,
  ].filter((id) => id !== H.sk_assign && id !== H.store_hdr_opt),
)

const ACQUIRES: ReadonlySet<number> = new Set([
  H.sk_lookup_tcp,
  H.sk_lookup_udp,
  H.skc_lookup_tcp,
  H.ringbuf_reserve,
  H.kptr_xchg,
])
/** Helpers that give another view of their argument. */
const CASTS: ReadonlySet<number> = new Set([
  H.tcp_sock,
  H.sk_fullsock,
  H.skc_to_tcp_sock,
  H.skc_to_tcp6_sock,
  H.skc_to_udp6_sock,
  H.skc_to_mptcp_sock,
  H.skc_to_tcp_timewait_sock,
  H.skc_to_tcp_request_sock,
])

/** Helpers that show what is in the kernel: only with CAP_PERFMON. */
const NEED_PERFMON: ReadonlySet<number> = new Set([
  H.trace_printk,
  H.trace_vprintk,
  H.get_current_task,
  H.get_current_task_btf,
  H.probe_read_user,
  H.probe_read_kernel,
  H.probe_read_user_str,
  H.probe_read_kernel_str,
  H.snprintf_btf,
  H.snprintf,
  H.task_pt_regs,
  H.get_current_comm,
  H.perf_event_read,
  H.perf_event_read_value,
  H.send_signal,
  H.send_signal_thread,
  H.get_task_stack,
  H.copy_from_user,
  H.copy_from_user_task,
  H.get_branch_snapshot,
  H.find_vma,
  H.sys_bpf,
  H.skc_to_tcp6_sock,
  H.skc_to_tcp_sock,
  H.skc_to_tcp_timewait_sock,
  H.skc_to_tcp_request_sock,
  H.skc_to_udp6_sock,
  H.skc_to_unix_sock,
  H.skc_to_mptcp_sock,
])

const CHANGES_MAP: ReadonlySet<number> = new Set([
  H.map_update_elem,
  H.map_delete_elem,
  H.map_push_elem,
  H.map_pop_elem,
])

/** A helper call: checks what it demands of the registers, then what it does to them. */
export function stepHelperCall(walk: Walk, id: number): boolean {
  const row = HELPERS[id - 1]
  if (id === 0) return invalid('program of this type cannot use helper bpf_unspec#0')
  if (row === undefined || row.id !== id) return invalid(`invalid func unknown#${id}`)
  const name = `bpf_${row.name}`
  const { facts } = walk
  const offered = row.progTypes.includes(facts.type) || offeredByIterator(facts, id)
  if (!offered || facts.missingHelpers.has(id)) invalid(`program of this type cannot use helper ${name}#${id}`)
  if ((!facts.perfmon && NEED_PERFMON.has(id)) || (!facts.bpf && NEED_BPF.has(id))) {
    invalid(`program of this type cannot use helper ${name}#${id}`)
  }
  checkAvailable(walk, row)
  if (!facts.gpl && row.gplOnly) invalid('cannot call GPL-restricted function from non-GPL compatible program')
  if (!allowedByTarget(facts, row)) invalid('helper call is not allowed in probe')
  if (row.mightSleep && !walk.state.sleepable) {
    if (!facts.sleepable) invalid('helper call might sleep in a non-sleepable prog')
  }
  checkRegions(walk, row, name)
  const call = noFacts(id, name, row.packetAccess)
  const args = argumentsFor(row, facts.type)
  args.forEach((_, i) => checkArgument(walk, i, args, call))
  if (id === H.tail_call) {
    if (!facts.perfmon) checkTailCallMap(walk, call)
    if (call.map?.type !== MapType.PROG_ARRAY) invalid('expected prog array map for tail call')
    markTailCallIndex(walk, call)
  }
  if (CHANGES_MAP.has(id) && call.map !== null && (call.map.flags & MapFlag.RDONLY_PROG) !== 0)
    deny('write into map forbidden')
  return perform(walk, row, name, call)
}

/** Whether the helper takes maps of this type. */
function checkMapType(walk: Walk, map: MapFacts, name: string, id: number): void {
  const words = `cannot pass map_type ${map.type} into func ${name}#${id}`
  if (!mapAllows(map.type, id)) invalid(words)
  if (!mayChangeSockmap(walk.facts, map.type, id)) invalid(`cannot update sockmap in this context\n${words}`)
}

/** A tail call with a constant index is compiled for this very index. */
function markTailCallIndex(walk: Walk, call: CallFacts): void {
  const index = walk.reg(3)
  if (index.kind !== 'scalar' || !isConst(index.value)) return
  if (umaxOf(index.value) < (call.map?.maxEntries ?? 0)) markPrecise(walk, 3)
}

/** The index of a tail call is limited where it is made, so that it has to be to one map. */
function checkTailCallMap(walk: Walk, call: CallFacts): void {
  const known = walk.tailCallMaps.get(walk.insn)
  if (known !== undefined && known !== call.map) invalid('tail_call abusing map_ptr')
  if (call.map !== null) walk.tailCallMaps.set(walk.insn, call.map)
}

function checkRegions(walk: Walk, row: HelperRow, name: string): void {
  const { state } = walk
  if (state.locks > 0 && row.id !== H.spin_unlock) {
    invalid('function calls are not allowed while holding a lock')
  }
  if (state.rcu > 0 && row.mightSleep) invalid(`sleepable helper ${name}#${row.id} in rcu_read_lock region`)
  if (state.preempt > 0 && row.mightSleep) invalid(`sleepable helper ${name}#${row.id} in non-preemptible region`)
}

/** Rules of availability that the program type alone does not decide. */
function checkAvailable(walk: Walk, row: HelperRow): void {
  const { type, attachType } = walk.facts
  const refuse = (): never => invalid(`program of this type cannot use helper bpf_${row.name}#${row.id}`)
  if ((row.id === H.get_retval || row.id === H.set_retval) && !hasRetval(attachType)) refuse()
  if (!offeredByTarget(walk.facts, row)) refuse()
  if (
    row.id === H.get_attach_cookie &&
    type !== ProgType.KPROBE &&
    type !== ProgType.TRACEPOINT &&
    type !== ProgType.PERF_EVENT &&
    type !== ProgType.RAW_TRACEPOINT &&
    type !== ProgType.RAW_TRACEPOINT_WRITABLE &&
    !(type === ProgType.TRACING && attachType === AttachType.TRACE_RAW_TP) &&
    !hasTrampoline(walk.facts)
  ) {
    refuse()
  }
}

function perform(walk: Walk, row: HelperRow, name: string, call: CallFacts): boolean {
  simulateWrites(walk, call)
  if (call.releases > 0) {
    const reg = walk.reg(call.releases)
    const isNull = reg.kind === 'scalar'
    const giveBack = row.id === H.kptr_xchg ? moveReference : release
    if (reg.kind === 'fp') releaseDynptr(walk, call.releases)
    else if (!isNull && !giveBack(walk, reg.refId))
      invalid(`func ${name}#${row.id} reference has not been acquired before`)
  }
  switch (row.id) {
    case H.tail_call:
      checkNoResources(walk, 'tail_call', false)
      break
    case H.get_local_storage: {
      const flags = walk.reg(2)
      if (flags.kind !== 'scalar' || flags.value.vl !== 0 || flags.value.ml !== 0) {
        invalid("get_local_storage() doesn't support non-zero flags")
      }
      break
    }
    case H.snprintf:
      checkFormat(walk)
      break
    case H.dynptr_from_mem:
      if (walk.reg(1).kind !== 'map_value') {
        deny(`Unsupported reg type ${regName(walk.reg(1))} for bpf_dynptr_from_mem data`)
      }
      break
    case H.spin_lock:
    case H.spin_unlock:
      if (inLess(walk)) deny("can't spin_{lock,unlock} in rbtree cb")
      stepLock(walk, 1, 'lock', row.id === H.spin_lock)
  }
  if (call.callback >= 0) callCallback(walk, row.id, call.callback, call.map, call.mapUid)
  clobberCallerSaved(walk)
  walk.set(0, result(walk, row, call))
  if (call.map !== null) checkMapType(walk, call.map, name, row.id)
  if (row.id === H.get_func_ip) checkHasFunction(walk)
  if (row.id === H.tail_call) return stepTailCall(walk)
  const written = row.id === H.dynptr_write ? call.dynptr?.dynptr?.type : undefined
  if (written === 'skb' || written === 'skb_meta' || CHANGES_PACKET.has(row.id)) forgetPacketPointers(walk)
  return false
}

/** The address of the function that a program is attached to, where it is attached to one. */
function checkHasFunction(walk: Walk): void {
  const { type } = walk.facts
  const isTracing = type === ProgType.TRACING
  if (type === ProgType.KPROBE || (isTracing && hasTrampoline(walk.facts))) return
  const where = isTracing
    ? 'supported only for fentry/fexit/fmod_ret programs'
    : `not supported for program type ${type}`
  throw new Reject('ENOTSUPP', `func bpf_get_func_ip#${H.get_func_ip} ${where}`)
}

/** A tail call ends the program, or the function that makes it: its caller goes on with what the other program left. */
function stepTailCall(walk: Walk): boolean {
  if (walk.state.frames.length === 1) return false
  walk.push(walk.insn + 1, walk.insn)
  forgetPacketPointers(walk)
  walk.set(0, unknownReg())
  returnToCaller(walk)
  return true
}

/** The format of bpf_snprintf, a constant string, with as many 64-bit arguments as its last argument has bytes for. */
function checkFormat(walk: Walk): void {
  const format = walk.reg(3)
  const bytes = valueOf(walk.reg(5).value)
  if (bytes % 8 !== 0) throw new Reject('EINVAL', '')
  const at = format.off + valueOf(format.value)
  const text = format.map?.constant?.subarray(at) ?? new Uint8Array(0)
  const end = text.indexOf(0)
  if (!isKernelFormat(text.subarray(0, end < 0 ? text.length : end), bytes / 8)) invalid('Invalid format string')
}

/** The helper fills stack that was not initialised. */
function simulateWrites(walk: Walk, call: CallFacts): void {
  for (let i = 0; i < call.fillSize; i++) {
    access(walk, { regno: call.fillRegno, off: i, size: 1, write: true, signed: false, source: -2, imm: 0 })
  }
}

const SOCKET_RESULTS: Readonly<Record<string, Kind>> = {
  PTR_TO_SOCKET: 'sock',
  PTR_TO_SOCK_COMMON: 'sock_common',
  PTR_TO_TCP_SOCK: 'tcp_sock',
}

function result(walk: Walk, row: HelperRow, call: CallFacts): Reg {
  const { type } = row.ret
  const flags = row.ret.flags as readonly string[]
  let bits = flags.includes('MAYBE_NULL') ? Flag.MAYBE_NULL : 0
  if (flags.includes('MEM_RINGBUF')) bits |= Flag.RINGBUF
  if (flags.includes('MEM_RDONLY')) bits |= Flag.RDONLY
  if (flags.includes('TRUSTED')) bits |= Flag.TRUSTED
  let to: Reg
  switch (type) {
    case 'INTEGER':
      return scalarReg(range(walk, row, call))
    case 'VOID':
      return NOT_INIT
    case 'PTR_TO_MAP_VALUE': {
      const { map } = call
      if (map === null) throw new Reject('EINVAL', 'kernel subsystem misconfigured verifier')
      if (call.constKey >= 0 && call.constKey < map.maxEntries && row.id === H.map_lookup_elem) bits &= ~Flag.MAYBE_NULL
      to = pointerReg('map_value', bits)
      to.map = map
      to.mapUid = call.mapUid
      if (bits === 0 && (hasField(map, 'bpf_spin_lock') || hasField(map, 'bpf_res_spin_lock'))) to.id = walk.newId()
      break
    }
    case 'PTR_TO_SOCKET':
    case 'PTR_TO_SOCK_COMMON':
    case 'PTR_TO_TCP_SOCK':
      to = pointerReg(SOCKET_RESULTS[type] as Kind, bits)
      break
    case 'PTR_TO_MEM':
      to = call.dynptr !== null ? sliceOf(call.dynptr, call.memSize, bits) : pointerReg('mem', bits)
      to.memSize = call.memSize
      break
    case 'PTR_TO_MEM_OR_BTF_ID':
      to = perCpuResult(walk, call, bits)
      break
    case 'PTR_TO_BTF_ID': {
      if (call.field !== null) {
        to = xchgResult(walk, call.field)
        break
      }
      const id = row.ret.btf === undefined ? undefined : walk.facts.kernelBtf?.findByName(row.ret.btf, BtfKind.STRUCT)
      if (id === undefined) return unsupported(`the result of bpf_${row.name}`)
      to = pointerReg('ptr_', bits)
      to.btfId = id
      break
    }
  }
  if (to.mayBeNull && to.id === 0) to.id = walk.newId()
  if (CASTS.has(row.id)) to.refId = call.refId
  else if (acquires(row.id, call)) {
    const id = acquire(walk)
    to.id = id
    to.refId = id
  }
  return to
}

function acquires(id: number, call: CallFacts): boolean {
  if (ACQUIRES.has(id)) return true
  return id === H.map_lookup_elem && (call.map?.type === MapType.SOCKMAP || call.map?.type === MapType.SOCKHASH)
}

function perCpuResult(walk: Walk, call: CallFacts, bits: number): Reg {
  const btf = walk.facts.kernelBtf
  if (btf === null) return unsupported('per-CPU variables without BTF')
  if (call.retObject) return objectReg(call.retBtfId, Flag.RCU | (bits & Flag.MAYBE_NULL))
  const kind = btf.kind(call.retBtfId)
  if (kind === BtfKind.STRUCT) {
    const to = pointerReg('ptr_', bits & ~Flag.RDONLY)
    to.btfId = call.retBtfId
    return to
  }
  const to = pointerReg('mem', bits | Flag.RDONLY)
  to.memSize = btf.sizeOf(call.retBtfId)
  return to
}

const MAX_ERRNO = 4095

/** Numbers that a helper may return, where the kernel tells the verifier. */
function range(walk: Walk, row: HelperRow, call: CallFacts): Scalar {
  switch (row.id) {
    case H.get_stack:
    case H.get_task_stack:
    case H.probe_read_str:
    case H.probe_read_kernel_str:
    case H.probe_read_user_str: {
      const to = new Bounds()
      to.sminH = -1
      to.sminL = to.s32min = -MAX_ERRNO
      to.smaxH = 0
      to.smaxL = to.s32max = Math.min(call.maxSize, 0x7fffffff)
      return to.sync()
    }
    case H.get_smp_processor_id: {
      const to = new Bounds()
      to.umaxH = to.smaxH = to.sminH = 0
      to.sminL = 0
      to.umaxL = to.smaxL = to.u32max = to.s32max = walk.facts.cpus - 1
      to.s32min = 0
      return to.sync()
    }
    default:
      return unknownReg().value
  }
}
