import { HelperId } from '../../../uapi/index.ts'
import type { HelperGroup } from './helper.ts'

/** A socket of another kind than asked for: the vm's sockets are neither TCP nor listening. */
const none = (): number => 0

/** Questions about the socket of a packet, which is a full one (no request or time-wait socket). */
export const SOCKET_HELPERS: HelperGroup = {
  [HelperId.sk_fullsock]: (_rt, sk) => sk,
  [HelperId.tcp_sock]: none,
  [HelperId.get_listener_sock]: none,
  [HelperId.skc_to_tcp_sock]: none,
  [HelperId.skc_to_tcp6_sock]: none,
  [HelperId.skc_to_udp6_sock]: none,
  [HelperId.skc_to_tcp_timewait_sock]: none,
  [HelperId.skc_to_tcp_request_sock]: none,
  [HelperId.skc_to_unix_sock]: none,
  [HelperId.skc_to_mptcp_sock]: none,
}
