import { CONTEXT_ADDRESS } from '../layout.ts'
import type { LinearMemory } from '../memory.ts'

/** Address of the socket that packets of a test run belong to, behind the context. */
export const SOCKET_ADDRESS: number = CONTEXT_ADDRESS + 0x1000
/** Bytes of struct bpf_sock (include/uapi/linux/bpf.h), and offsets in it. */
const SOCKET_SIZE = 80
const FAMILY = 4
const SRC_IP4 = 24
const SRC_IP6 = 28
const DST_IP4 = 52
const DST_IP6 = 56
const STATE = 72
const RX_QUEUE_MAPPING = 76

const ETH_P_IP = 0x0800
const ETH_P_IPV6 = 0x86dd
const AF_INET = 2
const AF_INET6 = 10
const TCP_CLOSE = 7

/**
 * Writes the socket of a test run: new and closed, without type or protocol; family and addresses are those of the
 * packet's IP header, the packet's source being the socket's (bpf_prog_test_run_skb() in net/bpf/test_run.c).
 */
export function publishSocket(memory: LinearMemory, protocol: number, net: number, tail: number): number {
  memory.fill(SOCKET_ADDRESS, 0, SOCKET_SIZE)
  memory.setU32(SOCKET_ADDRESS + STATE, TCP_CLOSE)
  // No receive queue was recorded.
  memory.setU32(SOCKET_ADDRESS + RX_QUEUE_MAPPING, 0xffffffff)
  if (protocol === ETH_P_IP && tail - net >= 20) {
    memory.setU32(SOCKET_ADDRESS + FAMILY, AF_INET)
    memory.copy(SOCKET_ADDRESS + SRC_IP4, net + 12, 4)
    memory.copy(SOCKET_ADDRESS + DST_IP4, net + 16, 4)
  } else if (protocol === ETH_P_IPV6 && tail - net >= 40) {
    memory.setU32(SOCKET_ADDRESS + FAMILY, AF_INET6)
    memory.copy(SOCKET_ADDRESS + SRC_IP6, net + 8, 16)
    memory.copy(SOCKET_ADDRESS + DST_IP6, net + 24, 16)
  }
  return SOCKET_ADDRESS
}
