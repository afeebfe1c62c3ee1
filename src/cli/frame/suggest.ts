/** ` (did you mean 'x'?)`, or the names there are, or nothing. */
export function suggestion(wanted: string, names: readonly string[]): string {
  let best = ''
  let bestDistance = Math.max(1, Math.floor(wanted.length / 2)) + 1
  for (const name of names) {
    const d = name.startsWith(wanted) || wanted.startsWith(name) ? 1 : distance(wanted.slice(0, 64), name.slice(0, 64))
    if (d < bestDistance) {
      best = name
      bestDistance = d
    }
  }
  if (best !== '') return ` (did you mean '${best}'?)`
  if (names.length === 0) return ' (there are none)'
  const shown = names.slice(0, 10).join(', ')
  return ` (there ${names.length === 1 ? 'is' : 'are'}: ${shown}${names.length > 10 ? ', ...' : ''})`
}

/** Edit distance (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substitution, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
