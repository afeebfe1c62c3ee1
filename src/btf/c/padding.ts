/** Types that padding is made of, widest first. */
export interface PaddingUnit {
  readonly name: string
  readonly bits: number
}

export function paddingUnits(pointerSize: number): readonly PaddingUnit[] {
  return [
    { name: 'long', bits: pointerSize * 8 },
    { name: 'int', bits: 32 },
    { name: 'short', bits: 16 },
    { name: 'char', bits: 8 },
  ]
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to
}

/**
 * Writes the unnamed bit-fields that bring a struct from bit `from` to bit `to`, given that the next member aligns
 * itself to `alignment` bytes. Gaps that the compiler makes by itself are not written; `long: 0` forces the alignment
 * it would not.
 *
 * @param indent what starts a line
 */
export function writePadding(
  out: { add(text: string): void },
  units: readonly PaddingUnit[],
  from: number,
  to: number,
  alignment: number,
  inBitField: boolean,
  indent: string,
): void {
  if (from >= to) return
  let at = from
  // The widest unit with a natural boundary inside the gap.
  let unit = units[units.length - 1] as PaddingUnit
  let boundary = 0
  for (const candidate of units) {
    unit = candidate
    boundary = roundUp(at, candidate.bits)
    if (boundary <= to) break
  }
  if (boundary > at && boundary <= to) {
    const wouldNotAlign = boundary === to && roundUp(at, Math.max(1, alignment) * 8) !== boundary
    const wouldFitBefore = boundary !== to && to - boundary <= boundary - at
    if (inBitField || wouldNotAlign || wouldFitBefore) {
      out.add(`${indent}${unit.name}: ${inBitField ? boundary - at : 0};`)
    }
    at = boundary
  }
  while (at !== to) {
    const bits = Math.min(to - at, unit.bits)
    if (bits < unit.bits) {
      for (let i = units.length - 1; i >= 0; i--) {
        unit = units[i] as PaddingUnit
        if (unit.bits >= bits) break
      }
    }
    out.add(`${indent}${unit.name}: ${bits};`)
    at += bits
  }
}
