import type { InsnBuffer } from '../../src/isa/index.ts'
import type { Backend, bareProgram, mapSpec, ObjectSpec } from '../../src/loader/index.ts'
import type { Vm } from '../../src/vm/index.ts'

export function vmDescriptors(vm: Vm): Record<string, number>
export function mapEnvironment(
  elfbee: {
    readonly assemble: (text: string) => InsnBuffer
    readonly bareProgram: typeof bareProgram
    readonly mapSpec: typeof mapSpec
  },
  backend: Backend,
  locked: ObjectSpec,
  descriptors: Record<string, number>,
): object
