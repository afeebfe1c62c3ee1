export { mapMemory } from './memory.ts'
export { RingReader } from './ring-reader.ts'
export { PerfReader } from './perf-reader.ts'
export { PollWatch } from './watch.ts'
