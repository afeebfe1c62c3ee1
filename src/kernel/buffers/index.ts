export { mapMemory } from './memory.ts'
export { RingReader, type RecordSink } from './ring-reader.ts'
export { PerfReader } from './perf-reader.ts'
export { PollWatch } from './watch.ts'
