import { BpfError, type BpfErrorWhere } from '../../bytes/index.ts'
import type { AttachObject, AttachOptions, ProgramSpec } from '../../loader/index.ts'
import { Cmd, matchSection, type SectionDef } from '../../uapi/index.ts'
import { bpfError } from '../syscall.ts'
import { KernelLink, tryLink } from './link.ts'
import type { Attr } from '../attr.ts'

/** One program that is to be attached, with what its section and the caller say. */
export class AttachSite {
  readonly fd: number
  readonly spec: ProgramSpec
  readonly options: AttachOptions
  readonly section: SectionDef | null
  readonly where: BpfErrorWhere

  /** What the program was loaded with; null when that is unknown. */
  readonly object: AttachObject | null

  constructor(fd: number, spec: ProgramSpec, options: AttachOptions, object: AttachObject | null = null) {
    this.object = object
    this.fd = fd
    this.spec = spec
    this.options = options
    this.section = matchSection(spec.section)
    this.where = { program: spec.name, section: spec.section }
  }

  /** Name of the link in messages. */
  get what(): string {
    return `link of program ${this.spec.name}`
  }

  /** What the option or else the section names, null when nothing does. */
  get target(): string | null {
    const target = this.options.target ?? this.spec.attachTarget
    return target === '' ? null : target
  }

  get attachType(): number | null {
    return this.options.attachType ?? this.spec.attachType
  }

  get cookie(): bigint {
    return BigInt(this.options.cookie ?? 0)
  }

  /** Whether the section is of a return probe. */
  get retprobe(): boolean {
    return this.options.retprobe ?? /^[ku]ret/.test(this.section?.name ?? '')
  }

  /** Refuses options that the hook would ignore. `names` are those it knows. @throws BpfError `usage` */
  allow(hook: string, names: readonly (keyof AttachOptions)[]): void {
    const known: readonly string[] = names
    for (const [name, value] of Object.entries(this.options)) {
      if (value === undefined || known.includes(name)) continue
      const takes = names.length === 0 ? 'nothing' : names.join(', ')
      throw this.usage(`${hook} takes no option "${name}"; it takes ${takes}`)
    }
  }

  usage(message: string): BpfError {
    return new BpfError('usage', message, { where: this.where })
  }

  notFound(message: string): BpfError {
    return new BpfError('not-found', message, { where: this.where })
  }

  unsupported(message: string): BpfError {
    return new BpfError('unsupported', message, { where: this.where })
  }

  /** Creates a link. `hint` says what an errno means for this hook. @throws BpfError `syscall` */
  link(
    fields: ConstructorParameters<typeof Attr<'LINK_CREATE'>>[1],
    hints: Hints = {},
    nested: ConstructorParameters<typeof Attr<'LINK_CREATE'>>[2] = {},
  ): KernelLink {
    return new KernelLink(this.linkFd(fields, hints, nested), this.what)
  }

  /** As link(), the descriptor. */
  linkFd(
    fields: ConstructorParameters<typeof Attr<'LINK_CREATE'>>[1],
    hints: Hints = {},
    nested: ConstructorParameters<typeof Attr<'LINK_CREATE'>>[2] = {},
  ): number {
    const result = tryLink({ ...fields, prog_fd: this.fd }, nested)
    if (result < 0) throw this.failed(Cmd.LINK_CREATE, result, hints)
    return result
  }

  failed(cmd: number, result: number, hints: Hints = {}): BpfError {
    return bpfError(cmd, result, this.where, hints[-result] ?? '')
  }
}

/** What an errno means at a hook. */
export type Hints = Readonly<Partial<Record<number, string>>>
