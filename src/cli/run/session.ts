import { isBpfError, type BpfError } from '../../bytes/index.ts'
import type { Btf } from '../../btf/index.ts'
import {
  load,
  type Backend,
  type Instrument,
  type LoadedObject,
  type LoadedProgram,
  type ObjectSpec,
  type ProgramSpec,
} from '../../loader/index.ts'
import { programType } from '../object/words.ts'
import { explained } from './explain.ts'
import { defaultContext, defaultPacket } from './inputs.ts'

/** Where to run. */
export interface BackendChoice {
  readonly kernel: boolean
  readonly interpreter: boolean
  readonly verify: boolean
  /** Target of CO-RE; undefined for that of the running kernel. */
  readonly btf: Btf | undefined
}

/** One run of one program. */
export interface RunRecord {
  readonly program: string
  readonly type: string
  readonly retval: number
  /** The kernel's name for the return value, null when it has none. */
  readonly verdict: string | null
  readonly before: Uint8Array | null
  /** Packet after the run, null for types without one. */
  readonly data: Uint8Array | null
  readonly ctxBefore: Uint8Array | null
  readonly ctx: Uint8Array | null
  readonly trace: readonly string[]
  readonly durationNs: number
  /** Why it was stopped or not run; the results are 0 and empty then. */
  readonly error: BpfError | null
}

/** Opens the backend; its code is only imported now. */
export async function openBackend(choice: BackendChoice): Promise<Backend> {
  const { btf } = choice
  if (choice.kernel) {
    const { openKernelBackend } = await import('../../kernel/index.ts')
    return openKernelBackend(btf === undefined ? {} : { btf })
  }
  const { createVm } = await import('../../vm/index.ts')
  const { verify } = choice
  const jit = !choice.interpreter
  if (btf !== undefined || process.platform !== 'linux') return createVm({ btf: btf ?? null, jit, verify })
  const { vmlinuxBtf } = await import('../../kernel/index.ts')
  return createVm({ btf: vmlinuxBtf, jit, verify })
}

/** Loads the object with what the chosen programs need. Programs that do not load are in the report. */
export async function loadPrograms(
  spec: ObjectSpec,
  backend: Backend,
  chosen: readonly ProgramSpec[],
  instrument?: Instrument,
): Promise<LoadedObject> {
  for (const program of chosen) program.autoload = true
  return load(spec, backend, instrument === undefined ? {} : { instrument })
}

/** What a program is run with. */
export interface RunRequest {
  readonly packet: Uint8Array | null
  readonly ctx: Uint8Array | null
  readonly repeat: number
}

/** Runs a program once (or `repeat` times, which counts as one run). What goes wrong is in the record. */
export function runProgram(program: LoadedProgram, spec: ProgramSpec, request: RunRequest): RunRecord {
  const before = request.packet ?? defaultPacket(spec.type)
  const ctxBefore = request.ctx ?? (request.packet === null ? defaultContext(spec.type) : null)
  const input = {
    ...(before === null ? {} : { data: before }),
    ...(ctxBefore === null ? {} : { ctx: ctxBefore }),
    ...(request.repeat > 1 ? { repeat: request.repeat } : {}),
  }
  const record = { program: spec.name, type: programType(spec.type), before, ctxBefore }
  try {
    const { retval, verdict, data, ctx, trace, durationNs } = program.run(input)
    return { ...record, retval, verdict, data, ctx, trace, durationNs, error: null }
  } catch (error) {
    if (!isBpfError(error)) throw error
    return {
      ...record,
      retval: 0,
      verdict: null,
      data: null,
      ctx: null,
      trace: [],
      durationNs: 0,
      error: explained(program, error),
    }
  }
}
