import fc from 'fast-check'

/** What stands between labels: straight code, joins, loops, exits, calls. */
type Piece = (label: string, r: (below: number) => number, alu: () => string) => readonly string[]

const pieces: readonly Piece[] = [
  (_, __, alu) => [alu(), alu(), alu()],
  (l, r, alu) => [`if r8 > ${r(1 << 30)} goto ${l}`, alu(), `*(u64 *)(r10 - ${8 * (1 + r(6))}) = r9`, `${l}:`, alu()],
  (l, r, alu) => [`if w9 & ${1 << r(20)} goto ${l}`, alu(), `goto ${l}b`, `${l}:`, alu(), 'r8 ^= r9', `${l}b:`],
  (l, r, alu) => [
    `r4 = ${1 + r(4)}`,
    `${l}:`,
    alu(),
    `r3 = *(u64 *)(r10 - ${8 * (1 + r(6))})`,
    `if r3 & ${1 << r(20)} goto ${l}b`,
    'r8 += r3',
    `${l}b:`,
    'r4 += -1',
    `if r4 != 0 goto ${l}`,
  ],
  (l, r, alu) => [`if w8 != ${r(2000)} goto ${l}`, alu(), `w0 = ${r(9)}`, 'exit', `${l}:`],
  (l, r) => [`if w8 != ${r(4000)} goto ${l}`, 'goto out', `${l}:`],
  (l, r) => [
    `*(u32 *)(r10 - 56) = ${r(5)}`,
    'r2 = r10',
    'r2 += -56',
    `r1 = map[id:${r(2)}]`,
    'call bpf_map_lookup_elem',
    `if r0 == 0 goto ${l}`,
    'lock *(u64 *)(r0 + 0) += r8',
    `${l}:`,
  ],
  () => ['r1 = r8', 'r2 = r9', 'call small', 'r8 += r0'],
  (l, r, alu) => [`may_goto ${l}`, alu(), `${l}:`, `r2 = *(u32 *)(r7 + ${4 * r(16)})`, 'r9 += r2'],
]

/**
 * An XDP program of about `size` instructions, as text. Around its middle it calls a function of the same kind, which is
 * half as large; `around`: all of it is in a loop that runs three times.
 */
export function largeProgram(seed: number, size: number, around: boolean): string {
  const numbers = fc.sample(fc.nat(), { seed, numRuns: 4096 })
  let next = 0
  let labels = 0
  const r = (below: number): number => {
    const number = (numbers[next++ % 4096] as number) + next
    return number % below
  }
  const alu = (): string => {
    const op = ['+=', '^=', '-=', '|=', '*='][r(5)] as string
    return [`r8 ${op} r9`, `w9 ${op} ${1 + r(1000)}`, `r9 ${op} r8`, `w8 ${op} w9`, 'r9 >>= 3', 'r8 += r7'][
      r(6)
    ] as string
  }
  const body = (lines: number, name: string): string[] => {
    const all: string[] = []
    while (all.length < lines) all.push(...(pieces[r(pieces.length)] as Piece)(`${name}${labels++}`, r, alu))
    return all
  }
  const frame = [8, 16, 24, 32, 40, 48].map((at) => `*(u64 *)(r10 - ${at}) = r9`)
  const sums = [8, 16, 24, 32, 40, 48].flatMap((at) => [`r1 = *(u64 *)(r10 - ${at})`, 'r8 ^= r1'])
  const top = around ? ['*(u64 *)(r10 - 64) = 3', 'top:'] : []
  const again = ['r1 = *(u64 *)(r10 - 64)', 'r1 += -1', '*(u64 *)(r10 - 64) = r1', 'if r1 != 0 goto top_far']
  const bottom = around ? [...again, 'goto out', 'top_far:', 'gotol top'] : []
  return [
    'r7 = *(u32 *)(r1 + 0)',
    'r8 = *(u32 *)(r7 + 0)',
    'r9 = *(u32 *)(r7 + 4)',
    ...frame,
    ...top,
    ...body(size / 3, 'a'),
    'r1 = r7',
    'r2 = r8',
    'call large',
    'r9 ^= r0',
    ...body(size / 3, 'b'),
    ...bottom,
    'out:',
    ...sums,
    'r0 = r8',
    'r0 ^= r9',
    'exit',
    'small:',
    'r0 = r1',
    'r0 *= 13',
    'r0 ^= r2',
    'exit',
    'large:',
    'r7 = r1',
    'r8 = r2',
    'r9 = 5',
    ...frame,
    ...body(size / 3, 'c').map((line) => (line === 'goto out' ? 'goto out2' : line)),
    'out2:',
    ...sums,
    'r0 = r8',
    'exit',
  ].join('\n')
}
