export type * from './spec.ts'
export type * from './backend.ts'
export { openObject, type OpenOptions } from './open.ts'
export { objectName, ObjectSpec, type BackendResolver, type ObjectLoadOptions, type ObjectParts } from './object.ts'
export {
  mapDifferences,
  normaliseSizes,
  type ComparableMap,
  type MachineFacts,
  type MapDifference,
  type MapSizes,
} from './map-shape.ts'
export { diagnoseMap, type MapShapeToCheck } from './map-diagnosis.ts'
export { kernelMapName } from './map-names.ts'
export { prepare, type PreparedObject, type PrepareOptions } from './prepare.ts'
export { type KconfigFacts } from './prepare/kconfig.ts'
export { type ModuleBtf, type ModuleBtfs } from './prepare/ksyms.ts'
export { CoreKind, coreKindName } from './core/kinds.ts'
export { essentialName } from './core/names.ts'
export { load, LoadedObject, type LoadOptions, type LoadReport, type ProgramReport } from './load.ts'
export { LoadedMap } from './load/map.ts'
export { LoadedStructOps } from './load/struct-ops.ts'
export { StructOpsSpec } from './struct-ops.ts'
export { LoadedProgram, type ProgramRunOutput } from './load/program.ts'
export { LoadedVariable } from './load/variable.ts'
export { type MapReport } from './load/maps.ts'
