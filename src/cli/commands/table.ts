import type { Command } from 'commander'
import type { CliContext } from '../frame/context.ts'

/** What a command module gives: its options and its work. */
export interface CommandModule {
  /** Adds arguments, options, examples. */
  describe(command: Command): void
  /** Does the work. `args` are the positional arguments, `options` the values of the command's options. */
  run(context: CliContext, args: readonly string[], options: Readonly<Record<string, unknown>>): void | Promise<void>
}

/** A command and where its code is; only the one that is asked for is imported. */
export interface CommandEntry {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<CommandModule>
}

/** The commands, in the order of the help. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'run',
    summary: 'run a program of an object, in the vm or in the kernel',
    load: () => import('./run.ts'),
  },
  {
    name: 'show',
    summary: 'show what is in an object: programs, maps, variables, externs, CO-RE',
    load: () => import('./show.ts'),
  },
  {
    name: 'disasm',
    summary: 'print the instructions of an object',
    load: () => import('./disasm.ts'),
  },
  {
    name: 'btf',
    summary: 'print type information: btf dump file F [format raw|c], btf show',
    load: () => import('./btf.ts'),
  },
  {
    name: 'prog',
    summary: 'show programs of the running kernel, load and pin them, verify them: prog show, prog load, prog verify',
    load: () => import('./prog.ts'),
  },
  {
    name: 'map',
    summary: 'show maps of the running kernel: map show, map dump',
    load: () => import('./map.ts'),
  },
  {
    name: 'gen',
    summary: 'make files from objects: gen skeleton, gen object (link), gen min_core_btf',
    load: () => import('./gen.ts'),
  },
  {
    name: 'feature',
    summary: 'say what the running kernel can do with BPF: feature probe',
    load: () => import('./feature.ts'),
  },
  {
    name: 'doctor',
    summary: 'say what this machine can do, and why not',
    load: () => import('./doctor.ts'),
  },
  {
    name: 'conformance',
    summary: 'run tests of the bpf_conformance suite in the vm',
    load: () => import('./conformance.ts'),
  },
  {
    name: 'conformance-plugin',
    summary: "the vm as a plugin of that suite's runner",
    load: () => import('./conformance-plugin.ts'),
  },
]
