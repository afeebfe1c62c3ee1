// What the recording inside of a booted kernel and the tests share: how a generated program is loaded and run.
import { generateJumps, generatePacket } from './indirect-jumps-generate.mjs'

const XDP = 6
export const PROGRAMS = 400
export const INPUTS = 8

/** Return values of a generated program on all packets; a string, why it was not loaded, instead. */
export function runJumps(seed, backend, assemble, extra = {}) {
  const { text, starts, tables } = generateJumps(seed)
  const insns = assemble(text)
  for (const { insn } of tables) insns.src[insn] = 2
  const program = {
    spec: {
      name: 'jumps',
      section: 'xdp',
      functionIndex: 0,
      type: XDP,
      attachType: null,
      flags: 0,
      attachTarget: null,
      autoload: true,
    },
    insns,
    functions: starts.map((start, i) => ({ name: `f${i}`, start, btfId: 0 })),
    lateReferences: tables.map(({ insn, targets }) => ({ kind: 'jumpTable', insn, targets })),
    lines: [],
    core: [],
  }
  const request = { program, license: 'GPL', version: 0, btf: null, maps: new Map(), bindMaps: [], logLevel: 0 }
  let loaded
  try {
    loaded = backend.loadProgram({ ...request, ...extra })
  } catch (error) {
    return `${error.code}: ${error.message}`
  }
  const results = Array.from({ length: INPUTS }, (_, i) => loaded.run({ data: generatePacket(seed, i) }).retval)
  loaded.close()
  return results
}
