/** One value of a kernel enum. */
export interface EnumRow {
  readonly value: number
  /** libbpf's word: lower case, without the prefix (`percpu_array`). */
  readonly name: string
  /** Key of the `as const` object (`PERCPU_ARRAY`). */
  readonly key: string
  /** The enumerator in the kernel header (`BPF_MAP_TYPE_PERCPU_ARRAY`). */
  readonly kernelName: string
  /** First kernel release that has it, such as `4.6`. */
  readonly since: string
}

/** Rows of an `as const` enum object, indexed by value (values are dense and start at 0). */
export function rowsOf<K extends string>(
  values: Readonly<Record<K, number>>,
  since: Readonly<Record<K, string>>,
  prefix: string,
): readonly EnumRow[] {
  const keys = Object.keys(values) as K[]
  return keys
    .map((key) => ({
      value: values[key],
      name: key.toLowerCase(),
      key,
      kernelName: prefix + key,
      since: since[key],
    }))
    .sort((a, b) => a.value - b.value)
}
