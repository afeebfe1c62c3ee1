/** Section types (sh_type, System V gABI chapter 4). */
export const SectionType = {
  NULL: 0,
  PROGBITS: 1,
  SYMTAB: 2,
  STRTAB: 3,
  RELA: 4,
  HASH: 5,
  DYNAMIC: 6,
  NOTE: 7,
  NOBITS: 8,
  REL: 9,
  DYNSYM: 11,
  GROUP: 17,
  SYMTAB_SHNDX: 18,
  LLVM_ADDRSIG: 0x6fff4c03,
} as const

/** Section flags (sh_flags). */
export const SectionFlag = {
  WRITE: 1,
  ALLOC: 2,
  EXECINSTR: 4,
  MERGE: 0x10,
  STRINGS: 0x20,
  INFO_LINK: 0x40,
  GROUP: 0x200,
  COMPRESSED: 0x800,
} as const

/** Section indices with a meaning of their own (st_shndx). */
export const SectionIndex = {
  UNDEF: 0,
  LORESERVE: 0xff00,
  ABS: 0xfff1,
  COMMON: 0xfff2,
  XINDEX: 0xffff,
} as const

/** Symbol types (low nibble of st_info). */
export const SymbolType = { NOTYPE: 0, OBJECT: 1, FUNC: 2, SECTION: 3, FILE: 4, COMMON: 5, TLS: 6 } as const

/** Symbol visibility (low bits of st_other). */
export const SymbolVisibility = { DEFAULT: 0, INTERNAL: 1, HIDDEN: 2, PROTECTED: 3 } as const

/** File types (e_type). */
export const ElfType = { NONE: 0, REL: 1, EXEC: 2, DYN: 3, CORE: 4 } as const

/** Machines (e_machine) that a BPF object may carry; clang before 6 left it 0. */
export const ElfMachine = { NONE: 0, BPF: 247 } as const

/**
 * Relocation types of EM_BPF (Documentation/bpf/llvm_reloc.rst). ABS64 and ABS32 were both called R_BPF_64_32 or
 * R_BPF_64_64 by LLVM before 13.
 */
export const RelocationType = {
  NONE: 0,
  /** ld_imm64 */
  R_64_64: 1,
  /** 8 bytes of data */
  R_64_ABS64: 2,
  /** 4 bytes of data */
  R_64_ABS32: 3,
  /** 4 bytes of .BTF or .BTF.ext, resolved at compile time */
  R_64_NODYLD32: 4,
  /** call */
  R_64_32: 10,
} as const

/** Size of the structures on file, in bytes. */
export const ELF_HEADER_SIZE = 64
export const SECTION_HEADER_SIZE = 64
export const SYMBOL_SIZE = 24
export const REL_SIZE = 16
export const RELA_SIZE = 24
