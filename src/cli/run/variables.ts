import { BpfError, within } from '../../bytes/index.ts'
import type { ObjectSpec } from '../../loader/index.ts'
import { suggestion } from '../frame/suggest.ts'

/** Applies `NAME=VALUE` to the object's global variables. @throws BpfError `usage`, `not-found`, `type-mismatch` */
export function setVariables(spec: ObjectSpec, assignments: readonly string[]): void {
  for (const assignment of assignments) {
    const at = assignment.indexOf('=')
    if (at <= 0) throw new BpfError('usage', `--set ${assignment}: expected VARIABLE=VALUE`)
    const name = assignment.slice(0, at)
    const variable = spec.variables[name]
    if (variable === undefined) {
      const message = `there is no variable '${name}'${suggestion(name, Object.keys(spec.variables))}`
      throw new BpfError('not-found', message, { where: { file: spec.file } })
    }
    within({ symbol: name }, () => variable.set(parseValue(assignment.slice(at + 1))))
  }
}

/**
 * A value as people write it: a number (decimal, 0x), true or false, JSON for structs and arrays, quoted or plain
 * text for names of enumerators, addresses and strings.
 */
export function parseValue(text: string): unknown {
  if (/^[+-]?(0[xX][0-9a-fA-F]+|\d+)$/.test(text)) {
    const magnitude = BigInt(text.replace(/^[+-]/, ''))
    const value = text.startsWith('-') ? -magnitude : magnitude
    return Number.isSafeInteger(Number(value)) ? Number(value) : value
  }
  if (/^[+-]?\d*\.\d+$/.test(text)) return Number(text)
  if (text === 'true' || text === 'false') return text === 'true'
  if (!/^[[{"]/.test(text)) return text
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new BpfError('usage', `'${text}' is no JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}
