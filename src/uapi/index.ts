export { type EnumRow } from './enum.ts'
export { Cmd, COMMANDS, commandName } from './commands.ts'
export { ProgType, PROG_TYPES, progTypeName, readsKernelMemory } from './prog-types.ts'
export { INSN_ARRAY, MapType, MAP_TYPES, mapTypeName } from './map-types.ts'
export { AttachType, ATTACH_TYPES, attachTypeName } from './attach-types.ts'
export { LinkType, LINK_TYPES, linkTypeName } from './link-types.ts'
export { AttachFlag, MapFlag, ProgFlag, RingbufFlag, TestRunFlag, UpdateFlag } from './flags.ts'
export { HelperId } from './helper-ids.generated.ts'
export { HELPERS } from './helpers.generated.ts'
export { helperById, helperName } from './helpers.ts'
export type { HelperArg, HelperArgType, HelperRet, HelperRetType, HelperRow, HelperTypeFlag } from './helper-types.ts'
export { contextStruct, takesPacket } from './contexts.ts'
export {
  allowsErrorInjection,
  D_PATH_ALLOWED,
  errorInjectionSleeps,
  LSM_HOOKS,
  MODIFIABLE,
  NEVER_RETURN,
  NOT_TRACEABLE,
} from './attach-rules.ts'
export {
  CONNECTION_WRITABLE,
  STRUCT_OPS,
  STRUCT_OPS_HELPERS,
  type StructOpsRow,
  type WritableStruct,
} from './struct-ops.ts'
export { matchSection, SECTION_DEFS, type AutoAttach, type SectionDef, type SectionFlag } from './sections.ts'
export { BpfReturn, NetfilterAction, SkAction, TcAction, XdpAction, verdictName } from './verdict.ts'
export { Errno, errnoName, errnoNumber, type ErrnoName } from './errno.ts'
export { Limit } from './limits.ts'
export { ATTR, ATTR_SIZE, STRUCT, STRUCT_SIZE } from './attr.generated.ts'
export { tracepointArgument } from './tracepoint-arguments.ts'
