import { printKernel } from '../../isa/index.ts'
import type { InstructionStep, LoadedProgram } from '../../loader/index.ts'
import { escapeText } from '../frame/escape.ts'
import type { Style } from '../frame/style.ts'

/** Instructions as they ran, with the registers that each has changed and the C lines that they come from. */
export function stepsText(program: LoadedProgram, style: Style): string {
  const steps = program.steps()
  if (steps.length === 0) return ''
  const sources = new Map(program.prepared.lines.map((line) => [line.insn, line]))
  let text = `${style.bold(escapeText(program.name))}: the last ${steps.length} instructions\n`
  steps.forEach((step, i) => {
    const source = sources.get(step.insn)
    if (source !== undefined)
      text += `  ${style.dim(`; ${escapeText(source.text.trim())} @ ${source.file}:${source.line}`)}\n`
    const insn = `${String(step.insn).padStart(5)}: ${printKernel(program.prepared.insns, step.insn)}`
    const changes = changesText(step, steps[i + 1])
    text += changes === '' ? `${insn}\n` : `${insn.padEnd(56)} ${changes}\n`
  })
  return text
}

/** Instructions as they ran: slot and r0 to r10 before. */
export function stepsJson(program: LoadedProgram): Record<string, unknown>[] {
  return program.steps().map(({ insn, registers }) => ({
    program: program.name,
    insn,
    registers: Array.from(registers, hex),
  }))
}

function changesText(step: InstructionStep, next: InstructionStep | undefined): string {
  if (next === undefined) return `r0=${hex(step.registers[0] as bigint)}`
  return Array.from(next.registers, (value, r) => (value === step.registers[r] ? '' : `r${r}=${hex(value)}`))
    .filter((change) => change !== '')
    .join(' ')
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`
}
