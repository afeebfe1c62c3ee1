export {
  ElfMachine,
  ElfType,
  RelocationType,
  SectionFlag,
  SectionIndex,
  SectionType,
  SymbolType,
  SymbolVisibility,
} from './constants.ts'
export { parseElf, type ParseElfOptions } from './parse.ts'
export { relocationSectionsOf, relocationsIn, relocationsOf } from './relocations.ts'
export { writeElf, type ElfInput, type ElfSectionInput, type ElfSymbolInput } from './write.ts'
export type * from './types.ts'
