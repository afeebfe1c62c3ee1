export type * from './spec.ts'
export type * from './backend.ts'
