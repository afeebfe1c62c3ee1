import type { Command } from 'commander'
import type { CliContext } from '../frame/context.ts'
import { escapeText } from '../frame/escape.ts'
import { readVersion } from '../frame/version.ts'
import { kernelChecks } from '../doctor/kernel-checks.ts'
import { platformChecks, toolChecks } from '../doctor/platform-checks.ts'
import type { Check } from '../doctor/check.ts'

export function describe(command: Command): void {
  command
    .description(
      'Says what this machine can do and why not, with a fix for each. Tries the kernel: creates a map and loads an ' +
        'empty program, and takes both back. Always ends with exit code 0.',
    )
    .addHelpText(
      'after',
      `
Examples:
  elfbee doctor
  sudo elfbee doctor
  elfbee doctor --json`,
    )
}

export async function run(context: CliContext): Promise<void> {
  const checks: readonly Check[] = [...platformChecks(), ...(await kernelChecks()), ...toolChecks()]
  const works = (name: string): boolean => checks.some((check) => check.name === name && check.status === 'ok')
  const canRunVm = works('webassembly')
  const canRunKernel = works('bpf')
  if (context.asJson) {
    context.printJson({ version: readVersion(), vm: canRunVm, kernel: canRunKernel, checks })
    return
  }
  const { style } = context
  const marks = { ok: style.green('ok  '), note: style.yellow('note'), missing: style.red('no  ') } as const
  const width = Math.max(...checks.map((check) => check.name.length))
  const indent = ' '.repeat(width + 7)
  let text = ''
  for (const check of checks) {
    text += `${marks[check.status]} ${check.name.padEnd(width)}  ${escapeText(check.detail)}\n`
    if (check.fix !== null) text += `${indent}${style.dim(`fix: ${escapeText(check.fix)}`)}\n`
  }
  text += `\nprograms run: in the vm ${canRunVm ? 'yes' : 'no'}, in the kernel ${canRunKernel ? 'yes' : 'no'}\n`
  context.print(text)
}
