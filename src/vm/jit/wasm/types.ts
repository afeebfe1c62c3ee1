/** Value types of the binary format (WebAssembly core specification 2.0, 5.3.1). */
export const ValueType = { I32: 0x7f, I64: 0x7e, F32: 0x7d, F64: 0x7c } as const
export type ValueType = (typeof ValueType)[keyof typeof ValueType]

/** Reference type of tables of functions. */
export const FUNCREF = 0x70

/** Block type of a block that leaves nothing on the stack. */
export const EMPTY_BLOCK = 0x40

/** Parameters and results of a function. */
export interface FunctionType {
  readonly params: readonly ValueType[]
  readonly results: readonly ValueType[]
}

/** Result type of a block: one value, or none. */
export type BlockType = ValueType | typeof EMPTY_BLOCK
