// Programs of a wanted size for compile.mjs, as compilers write them: headers of the packet are read, fields combined,
// spilled and filled, tested and counted in maps.
import { generator } from '../test/oracle/vm-inputs.mjs'

/** Text of an XDP program of about `size` instructions, which the kernel's verifier accepts. */
export function programOfSize(size, seed = 1) {
  const r = generator(seed)
  const lines = [
    'r6 = r1',
    'r7 = *(u32 *)(r6 + 0)',
    'r2 = *(u32 *)(r6 + 4)',
    'r3 = r7',
    'r3 += 64',
    'if r3 <= r2 goto good',
    'r0 = 1',
    'exit',
    'good:',
    'r8 = 0',
    'r9 = 0',
  ]
  for (let at = 8; at <= 48; at += 8) lines.push(`*(u64 *)(r10 - ${at}) = r8`)
  let labels = 0
  while (lines.length < size - 16) {
    const end = `l${labels++}`
    const field = 4 * r.below(15)
    const slot = 8 * (1 + r.below(6))
    lines.push(
      `r1 = *(u32 *)(r7 + ${field})`,
      `r2 = *(u16 *)(r7 + ${2 * r.below(31)})`,
      r.chance(50) ? 'w1 ^= w2' : 'r1 += r2',
      `w1 <<= ${1 + r.below(7)}`,
      `r3 = *(u64 *)(r10 - ${slot})`,
      r.chance(50) ? 'r3 += r1' : 'w3 ^= w1',
      `*(u64 *)(r10 - ${slot}) = r3`,
      `r4 = *(u8 *)(r7 + ${4 + 2 * r.below(20)})`,
      `r5 = *(u8 *)(r7 + ${5 + 2 * r.below(20)})`,
      'r5 <<= 8',
      'r5 |= r4',
      `if ${r.pick(['w5', 'r5'])} ${r.pick(['>', '==', '!=', '<'])} ${r.below(4096)} goto ${end}`,
      r.chance(50) ? 'r8 += r5' : 'w8 += w5',
      `r9 ^= r1`,
      'r9 &= 0xffff',
    )
    if (r.chance(25)) {
      lines.push('w1 &= 3', '*(u32 *)(r10 - 56) = r1', 'r2 = r10', 'r2 += -56', 'r1 = map[id:0]')
      lines.push('call bpf_map_lookup_elem', `if r0 == 0 goto ${end}`, 'r1 = *(u64 *)(r0 + 0)', 'r1 += 1')
      lines.push('*(u64 *)(r0 + 0) = r1')
    }
    lines.push(`${end}:`)
  }
  lines.push('r0 = r8', 'r0 += r9')
  for (let at = 8; at <= 48; at += 8) lines.push(`r1 = *(u64 *)(r10 - ${at})`, 'r0 ^= r1')
  lines.push('exit')
  return lines.join('\n')
}
