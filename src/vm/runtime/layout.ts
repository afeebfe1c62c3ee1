import { AREA } from '../area.ts'
import { FRAME_SIZE, GUARD_SIZE, STACK_SLACK } from '../engine.ts'

/**
 * Fixed part of the linear memory, in bytes. Maps and everything else that is allocated lie above HEAP_START.
 *
 *     0        64 KiB    256 KiB     264 KiB     512 KiB    1 MiB
 *     | guard  | stacks  | context   | ...       | packet   | heap ->
 */

/** Frames of one program: the kernel allows 8 nested calls (MAX_CALL_FRAMES). */
export const MAX_CALL_FRAMES = 8
/** Tail calls in one chain (MAX_TAIL_CALL_CNT). */
export const MAX_TAIL_CALLS = 33
/** Stack of one program of a tail call chain. */
export const PROGRAM_STACK_SIZE: number = MAX_CALL_FRAMES * FRAME_SIZE + STACK_SLACK

export const STACK_START: number = AREA.run + GUARD_SIZE
/** End of the first program's stack; the next one of the chain ends PROGRAM_STACK_SIZE below. */
export const STACK_END: number = STACK_START + (MAX_TAIL_CALLS + 2) * PROGRAM_STACK_SIZE

/** Where the context structure of the running program lies. */
export const CONTEXT_ADDRESS: number = AREA.run + 0x40000
/** More than any context that BPF_PROG_TEST_RUN takes (a page). */
export const CONTEXT_SIZE = 8192

/** Start of the packet area: room for headers that are pushed, the packet, room for a tail. */
export const PACKET_START: number = AREA.run + 0x80000
/** Where the first byte of a packet is put; below it is headroom. */
export const PACKET_DATA: number = PACKET_START + 0x20000
export const PACKET_END: number = AREA.run + 0x100000

/** Bytes from the first stack to the end of the packet area: what another CPU needs. */
export const RUN_AREA_SIZE: number = 0x100000 - GUARD_SIZE

export const HEAP_START = 0x100000
