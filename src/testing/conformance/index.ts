export { assembleConformance, type AssembledCase } from './assemble.ts'
export { insnsFromBytes, parseConformance, type ConformanceCase, type ConformanceMap } from './parse.ts'
export {
  CONFORMANCE_GROUPS,
  conformanceNeeds,
  runConformance,
  runProgram,
  type ConformanceEngine,
  type ConformanceGroup,
  type ConformanceNeeds,
  type ConformanceOutcome,
} from './run.ts'
