export type * from './spec.ts'
export type * from './backend.ts'
export {
  contextLayout,
  decodeContext,
  encodeContext,
  fieldBytes,
  type ContextFields,
  type ContextObject,
  type ContextValue,
} from './context-fields.ts'
export type * from './link.ts'
export type { BatchOptions, BatchOutput, BatchPacket, BatchTrap, ProgramRunner, RunnerOptions } from './batch.ts'
export { batchRounds, noPacket, packetError, runEach, VerdictCounts } from './batch.ts'
export type { InstructionStep, Instrument } from './instrument.ts'
export type { Coverage, LineCoverage, ProgramCoverage } from './load/coverage.ts'
export { isIteratorLink } from './link.ts'
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
export { bareProgram } from './bare-program.ts'
export { mapSpec } from './open/map-spec.ts'
export { kernelMapName } from './map-names.ts'
export { explainPoison } from './core/explain.ts'
export { layoutText as coreLayoutText } from './core/layout.ts'
export type { CorePolicy } from './core/resolve.ts'
export { prepare, type PreparedObject, type PrepareOptions } from './prepare.ts'
export { type KconfigFacts } from './prepare/kconfig.ts'
export { type ModuleBtf, type ModuleBtfs } from './prepare/ksyms.ts'
export { CoreKind, coreKindName } from './core/kinds.ts'
export { essentialName } from './core/names.ts'
export { load, LoadedObject, type LoadOptions, type LoadReport, type ProgramReport } from './load.ts'
export { AttachedPrograms } from './load/links.ts'
export { LoadedMap, readEvents } from './load/map.ts'
export { EventReader, type EventOptions, type MapEvent } from './load/events.ts'
export { LoadedStructOps } from './load/struct-ops.ts'
export { StructOpsSpec } from './struct-ops.ts'
export { LoadedProgram, type ProgramRunOutput } from './load/program.ts'
export { LoadedVariable } from './load/variable.ts'
export { type MapReport } from './load/maps.ts'
export { minCoreBtf, readCoreObject, type CoreObject } from './min-core-btf/min-core-btf.ts'
export { generateSkeleton, type SkeletonOptions } from './skeleton/skeleton.ts'
export type * from './skeleton/typed.ts'
export { linkObjects, type LinkInput } from './linker/link.ts'
export { cloneSpec } from './clone.ts'
