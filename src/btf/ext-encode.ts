import { BpfError, Writer } from '../bytes/index.ts'
import { CORE_RELO_SIZE, FUNC_INFO_SIZE, LINE_INFO_SIZE } from './ext.ts'
import type { BtfCoreRelo, BtfFuncInfo, BtfLineInfo } from './ext.ts'
import { BTF_MAGIC, BTF_VERSION } from './layout.ts'

/** What {@link encodeBtfExt} writes; by name of ELF section. A BtfExt is one. */
export interface BtfExtSource {
  readonly funcInfo: ReadonlyMap<string, readonly Pick<BtfFuncInfo, 'insnOffset' | 'typeId'>[]>
  readonly lineInfo: ReadonlyMap<
    string,
    readonly Pick<BtfLineInfo, 'insnOffset' | 'fileName' | 'lineText' | 'line' | 'column'>[]
  >
  readonly coreRelos: ReadonlyMap<string, readonly Pick<BtfCoreRelo, 'insnOffset' | 'typeId' | 'access' | 'kind'>[]>
}

const HEADER_SIZE = 32
const MAX_LINE = 0x3f_ffff
const MAX_COLUMN = 0x3ff

/**
 * Encodes a `.BTF.ext` section.
 * @param addString puts a text into the strings of the BTF that goes with it and gives its offset (BtfBuilder.addString)
 * @throws BpfError `limit` for line or column numbers that have no room (22 and 10 bits)
 */
export function encodeBtfExt(
  source: BtfExtSource,
  addString: (text: string) => number,
  littleEndian: boolean = true,
): Uint8Array {
  const data = new Writer(littleEndian)
  const spans: number[] = []
  const table = <T>(groups: ReadonlyMap<string, readonly T[]>, size: number, write: (record: T) => void): void => {
    const start = data.length
    const filled = [...groups].filter(([, records]) => records.length > 0)
    if (filled.length > 0) data.u32(size)
    for (const [section, records] of filled) {
      data.u32(addString(section)).u32(records.length)
      for (const record of records) write(record)
    }
    spans.push(start, data.length - start)
  }
  table(source.funcInfo, FUNC_INFO_SIZE, (info) => data.u32(info.insnOffset).u32(info.typeId))
  table(source.lineInfo, LINE_INFO_SIZE, (info) => {
    if (info.line > MAX_LINE || info.column > MAX_COLUMN) {
      throw new BpfError(
        'limit',
        `line ${info.line}, column ${info.column} do not fit into 22 and 10 bits of line info`,
      )
    }
    data.u32(info.insnOffset).u32(addString(info.fileName)).u32(addString(info.lineText))
    data.u32(((info.line << 10) | info.column) >>> 0)
  })
  table(source.coreRelos, CORE_RELO_SIZE, (relo) => {
    data.u32(relo.insnOffset).u32(relo.typeId).u32(addString(relo.access)).u32(relo.kind)
  })
  const out = new Writer(littleEndian, HEADER_SIZE + data.length)
  out.u16(BTF_MAGIC).u8(BTF_VERSION).u8(0).u32(HEADER_SIZE)
  for (const span of spans) out.u32(span)
  return out.write(data.bytes()).bytes()
}
