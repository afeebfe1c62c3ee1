import type { Btf } from '../../btf/index.ts'
import { BpfError, encodeUtf8, isBpfError } from '../../bytes/index.ts'
import { kconfigTypeOf, type KconfigType } from '../kconfig-type.ts'
import type { ExternSpec } from '../spec.ts'

/** What the loader knows of the kernel's configuration. */
export interface KconfigFacts {
  /** Text of a .config file ("CONFIG_HZ=250" lines); null when unknown. */
  readonly text: string | null
  /** LINUX_VERSION_CODE, (a << 16) + (b << 8) + min(c, 255); null when unknown. */
  readonly kernelVersion: number | null
  /** Whether programs may have cookies (LINUX_HAS_BPF_COOKIE). */
  readonly bpfCookie: boolean
  /** Whether system calls have wrappers that take pt_regs (LINUX_HAS_SYSCALL_WRAPPER). */
  readonly syscallWrapper: boolean
}

/** Contents of the .kconfig map, and the externs that have no value. */
export interface KconfigValues {
  readonly bytes: Uint8Array
  readonly problems: ReadonlyMap<string, BpfError>
}

/**
 * Gives every kconfig extern its value (libbpf, bpf_object__resolve_externs): options from the text, LINUX_* from the
 * facts, weak ones that are not set 0.
 */
export function kconfigValues(
  externs: readonly ExternSpec[],
  btf: Btf,
  size: number,
  facts: KconfigFacts,
  littleEndian: boolean,
): KconfigValues {
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  const problems = new Map<string, BpfError>()
  let options: ReadonlyMap<string, string> | null = null
  for (const extern of externs) {
    const type = kconfigTypeOf(btf, extern.typeId)
    if (type === null) continue
    const store = (bits: bigint): void => writeNumber(view, extern, bits, littleEndian)
    try {
      const virtual = virtualValue(extern, facts)
      if (virtual !== null) {
        checkNumber(extern, type, virtual)
        store(virtual)
        continue
      }
      const text = facts.text === null ? undefined : (options ??= parseOptions(facts.text)).get(extern.name)
      if (text !== undefined) storeOption(extern, type, text, bytes, store)
      else if (!extern.weak) throw missing(extern, facts)
    } catch (error) {
      if (!isBpfError(error)) throw error
      problems.set(extern.name, error.within({ symbol: extern.name }))
    }
  }
  return { bytes, problems }
}

function missing(extern: ExternSpec, facts: KconfigFacts): BpfError {
  if (facts.text === null) {
    return new BpfError('not-found', `${extern.name} needs the kernel's configuration, which is not known`)
  }
  return new BpfError('not-found', `${extern.name} is not set in the kernel's configuration, and not weak`)
}

/** Values that are not in any .config; null for those that are. */
function virtualValue(extern: ExternSpec, facts: KconfigFacts): bigint | null {
  switch (extern.name) {
    case 'LINUX_KERNEL_VERSION':
      if (facts.kernelVersion === null) {
        throw new BpfError('not-found', 'LINUX_KERNEL_VERSION: the version of the kernel is not known')
      }
      return BigInt(facts.kernelVersion)
    case 'LINUX_HAS_BPF_COOKIE':
      return facts.bpfCookie ? 1n : 0n
    case 'LINUX_HAS_SYSCALL_WRAPPER':
      return facts.syscallWrapper ? 1n : 0n
    default:
      if (extern.name.startsWith('CONFIG_')) return null
      if (extern.name.startsWith('LINUX_') && extern.weak) return 0n
      throw new BpfError('unsupported', `${extern.name} is neither CONFIG_* nor a LINUX_* value that is known`)
  }
}

/** The options of a .config file by name; the first setting counts. */
export function parseOptions(text: string): Map<string, string> {
  const options = new Map<string, string>()
  for (const line of text.split('\n')) {
    if (!line.startsWith('CONFIG_')) continue
    const separator = line.indexOf('=')
    if (separator < 0 || separator === line.length - 1) {
      throw new BpfError('malformed', `kconfig: '${line.slice(0, 80)}' is not NAME=value`)
    }
    const name = line.slice(0, separator)
    if (!options.has(name)) options.set(name, line.slice(separator + 1).replace(/\r$/, ''))
  }
  return options
}

function storeOption(
  extern: ExternSpec,
  type: KconfigType,
  text: string,
  bytes: Uint8Array,
  store: (value: bigint) => void,
): void {
  const mismatch = (meant: string): never => {
    throw new BpfError('type-mismatch', `${extern.name}=${text} is a value for ${meant}, not for its declared type`)
  }
  const first = text[0]
  if (first === 'y' || first === 'n' || first === 'm') {
    if (type.kind === 'char') store(BigInt(first.charCodeAt(0)))
    else if (type.kind === 'tristate') store(first === 'y' ? 1n : first === 'm' ? 2n : 0n)
    else if (type.kind === 'bool' && first !== 'm') store(first === 'y' ? 1n : 0n)
    else mismatch(first === 'm' ? 'a tristate or char' : 'a bool, tristate or char')
    return
  }
  if (first === '"') {
    if (type.kind !== 'chars') return mismatch('a char array')
    if (text.length < 2 || !text.endsWith('"')) {
      throw new BpfError('malformed', `${extern.name}: the string ${text} does not end`)
    }
    // Too long strings are cut, the terminating zero stays.
    bytes.set(encodeUtf8(text.slice(1, -1)).subarray(0, type.length - 1), extern.offset)
    return
  }
  if (type.kind !== 'int' && type.kind !== 'char') return mismatch('an integer')
  const value = parseInteger(extern, text)
  checkNumber(extern, type, value)
  store(value)
}

function parseInteger(extern: ExternSpec, text: string): bigint {
  const match = /^([+-]?)(0[xX][0-9a-fA-F]+|\d+)$/.exec(text)
  const digits = match?.[2]
  if (match === null || digits === undefined) {
    throw new BpfError('malformed', `${extern.name}: '${text}' is no number, string, y, n or m`)
  }
  // A leading zero means octal, as in C.
  const magnitude = /^0\d+$/.test(digits) ? BigInt(`0o${digits.replace(/[89]/g, '7')}`) : BigInt(digits)
  if (magnitude > 0xffff_ffff_ffff_ffffn) {
    throw new BpfError('type-mismatch', `${extern.name}: ${text} does not fit 64 bits`)
  }
  return match[1] === '-' ? -magnitude : magnitude
}

function checkNumber(extern: ExternSpec, type: KconfigType, value: bigint): void {
  const wrong = (): never => {
    throw new BpfError(
      'type-mismatch',
      `${extern.name}: ${value} does not fit its declared type of ${extern.size} bytes`,
    )
  }
  if (type.kind === 'bool') {
    if (value !== 0n && value !== 1n) wrong()
    return
  }
  if (type.kind !== 'int' && type.kind !== 'char') return wrong()
  const bits = BigInt(extern.size * 8)
  if (bits === 64n) return
  const low = type.signed ? -(1n << (bits - 1n)) : 0n
  const high = type.signed ? (1n << (bits - 1n)) - 1n : (1n << bits) - 1n
  if (value < low || value > high) wrong()
}

function writeNumber(view: DataView, extern: ExternSpec, value: bigint, littleEndian: boolean): void {
  switch (extern.size) {
    case 1:
      return view.setUint8(extern.offset, Number(BigInt.asUintN(8, value)))
    case 2:
      return view.setUint16(extern.offset, Number(BigInt.asUintN(16, value)), littleEndian)
    case 4:
      return view.setUint32(extern.offset, Number(BigInt.asUintN(32, value)), littleEndian)
    default:
      return view.setBigUint64(extern.offset, BigInt.asUintN(64, value), littleEndian)
  }
}
