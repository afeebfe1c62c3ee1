import { readFileSync } from 'node:fs'
import { CallPseudo, type InsnBuffer } from '../../isa/index.ts'
import { HelperId } from '../../uapi/index.ts'

const CALL = 0x85
const PRINTING: ReadonlySet<number> = new Set<number>([HelperId.trace_printk, HelperId.trace_vprintk])
const FILES = ['/sys/kernel/tracing/trace', '/sys/kernel/debug/tracing/trace'] as const
const EVENT = 'bpf_trace_printk: '

/** Whether a program calls bpf_trace_printk or bpf_trace_vprintk. */
export function printsTrace(insns: InsnBuffer): boolean {
  return insns.code.some((code, at) => {
    return code === CALL && insns.src[at] === CallPseudo.HELPER && PRINTING.has(insns.imm[at] ?? 0)
  })
}

/**
 * What programs that this process ran in the kernel have printed: lines with its pid in the system's trace buffer,
 * which is read but not emptied. null when it cannot be read.
 */
export function readKernelTrace(): string[] | null {
  for (const file of FILES) {
    try {
      return ownLines(readFileSync(file, 'utf8'), process.pid)
    } catch {
      continue
    }
  }
  return null
}

/** Messages of a process in the text of a trace buffer: `  node-42  [001] ...11  17.5: bpf_trace_printk: length 60`. */
export function ownLines(trace: string, pid: number): string[] {
  const own = new RegExp(`^ *.{1,16}-${pid} +(\\([^)]*\\) +)?\\[\\d+\\]`)
  return trace.split('\n').flatMap((line) => {
    const at = line.indexOf(EVENT)
    return at >= 0 && own.test(line) ? [line.slice(at + EVENT.length)] : []
  })
}
