import { BpfError } from '../../../bytes/index.ts'
import type { RunInput } from '../../../loader/index.ts'
import { ProgType } from '../../../uapi/index.ts'
import { fakeStruct } from '../fake-struct.ts'
import type { KernelObjects } from '../kernel/objects.ts'
import { CONTEXT_ADDRESS } from '../layout.ts'
import type { LinearMemory } from '../memory.ts'
import type { ContextOutput } from './context.ts'
import { ETH_P_IPV6, SkbContext } from './skb.ts'

/** struct bpf_nf_ctx: pointers to the state of the hook and to the packet. Both lie behind it. */
const NF_ADDRESS: number = CONTEXT_ADDRESS + 0x1000
const STATE_ADDRESS: number = NF_ADDRESS + 0x100
const SKB_ADDRESS: number = NF_ADDRESS + 0x400
const MOST = 0x800
const NFPROTO_IPV4 = 2
const NFPROTO_IPV6 = 10

/**
 * Context of netfilter programs: struct bpf_nf_ctx with a struct nf_hook_state and a struct sk_buff in the layout of the
 * vm's BTF. Fields of the input: `hook` (NF_INET_*) and `pf`, the protocol family, by default that of the packet.
 */
export class NetfilterContext extends SkbContext {
  override readonly address: number = NF_ADDRESS

  constructor(memory: LinearMemory, kernel: KernelObjects, input: RunInput) {
    const { fields = {}, data } = input
    super(memory, data === undefined ? {} : { data }, ProgType.NETFILTER)
    const { hook = 0, pf = this.protocol === ETH_P_IPV6 ? NFPROTO_IPV6 : NFPROTO_IPV4, ...others } = fields
    const unknown = Object.keys(others)[0]
    if (unknown !== undefined || typeof hook !== 'number' || typeof pf !== 'number') {
      throw new BpfError('usage', `netfilter programs take the numbers hook and pf, not ${unknown ?? 'other values'}`)
    }
    const btf = kernel.btf()
    memory.fill(NF_ADDRESS, 0, MOST)
    memory.setU32(NF_ADDRESS, STATE_ADDRESS)
    memory.setU32(NF_ADDRESS + 8, SKB_ADDRESS)
    memory.write(STATE_ADDRESS, fakeStruct(btf, 'nf_hook_state', { hook, pf }).subarray(0, SKB_ADDRESS - STATE_ADDRESS))
    const skb = fakeStruct(btf, 'sk_buff', { len: this.length, data: this.data, protocol: this.field(16) })
    memory.write(SKB_ADDRESS, skb.subarray(0, MOST - 0x400))
  }

  /** The kernel's test run gives nothing back. */
  override output(): ContextOutput {
    return { data: new Uint8Array(0), ctx: null }
  }
}
