import { matchSection, type AutoAttach } from '../../uapi/index.ts'
import type { Link } from '../link.ts'
import type { LoadedProgram } from './program.ts'

/** Links of the programs of an object, by program name; the record has no prototype. */
export class AttachedPrograms implements Disposable {
  readonly links: Readonly<Record<string, Link>>

  constructor(links: Readonly<Record<string, Link>>) {
    this.links = links
  }

  /** Detaches all, the last one first. May be called again. */
  close(): void {
    for (const link of Object.values(this.links).toReversed()) link.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/**
 * Attaches the programs whose section says all that is needed. When one fails, those before it are detached.
 * @throws BpfError of the first that fails
 */
export function attachBySection(programs: readonly LoadedProgram[]): AttachedPrograms {
  const links = Object.create(null) as Record<string, Link>
  const attached = new AttachedPrograms(links)
  try {
    for (const program of programs) if (attachesBySection(program)) links[program.name] = program.attach()
  } catch (error) {
    attached.close()
    throw error
  }
  return attached
}

/** What a section has to name behind its prefix for a program to be attached by it (libbpf's rules). */
const TARGET: Readonly<Record<AutoAttach, RegExp | null>> = {
  kprobe: /./,
  uprobe: /:/,
  kprobe_multi: /./,
  kprobe_session: /./,
  uprobe_multi: /:/,
  ksyscall: /./,
  usdt: /:/,
  tp: /\//,
  raw_tp: /./,
  tracing_multi: /./,
  trace: null,
  lsm: null,
  iter: null,
}

function attachesBySection({ spec }: LoadedProgram): boolean {
  const kind = matchSection(spec.section)?.autoAttach ?? null
  if (kind === null) return false
  const pattern = TARGET[kind]
  return pattern === null || pattern.test(spec.attachTarget ?? '')
}
