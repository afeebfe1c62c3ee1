/** One section of an ELF file. Offsets and sizes in bytes. */
export interface ElfSection {
  readonly index: number
  readonly name: string
  /** sh_type; see SectionType. */
  readonly type: number
  /** sh_flags; see SectionFlag. */
  readonly flags: number
  readonly address: number
  /** Where its contents start in the file. */
  readonly offset: number
  /** Size in memory; a NOBITS section has it without contents. */
  readonly size: number
  readonly link: number
  readonly info: number
  readonly align: number
  readonly entrySize: number
  /** Contents, a view into the file; empty for NOBITS. */
  readonly data: Uint8Array
}

/** Binding of a symbol (high nibble of st_info). */
export type ElfBind = 'local' | 'global' | 'weak'

/** One symbol of the symbol table. */
export interface ElfSymbol {
  readonly index: number
  readonly name: string
  readonly value: number
  readonly size: number
  readonly bind: ElfBind
  /** STT_*; see SymbolType. */
  readonly type: number
  /** STV_*; see SymbolVisibility. */
  readonly visibility: number
  /** Index of its section, or a reserved one (SectionIndex.UNDEF, ABS, COMMON). */
  readonly section: number
}

/** One relocation. */
export interface ElfRelocation {
  /** Bytes from the start of the section that it changes. */
  readonly offset: number
  /** Index of the symbol. */
  readonly symbol: number
  /** R_BPF_*; see RelocationType. */
  readonly type: number
  /** Addend of a RELA entry; null for REL, whose addend is in the bytes it changes. */
  readonly addend: number | null
}

/** A parsed ELF64 file. */
export interface ElfFile {
  /** File name as the caller gave it, for messages. */
  readonly name: string
  readonly littleEndian: boolean
  /** e_type; see ElfType. */
  readonly type: number
  /** e_machine; see ElfMachine. */
  readonly machine: number
  /** e_flags; the BPF CPU version in newer LLVM. */
  readonly flags: number
  /** All sections by index; the first one is the null section. */
  readonly sections: readonly ElfSection[]
  /** All symbols by index, the first one being the null symbol; empty without a symbol table. */
  readonly symbols: readonly ElfSymbol[]
  /** The first section of that name. */
  sectionByName(name: string): ElfSection | undefined
}
