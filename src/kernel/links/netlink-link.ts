import { closeSync, openSync } from 'node:fs'
import { BpfError } from '../../bytes/index.ts'
import type { Link, LinkDetails, ProgramRef } from '../../loader/index.ts'
import { AttachType, Errno } from '../../uapi/index.ts'
import { addClsact, addFilter, countFilters, removeClsact, removeFilter, type TcFilter } from '../netlink/tc.ts'
import { setXdp, xdpProgramId } from '../netlink/xdp.ts'
import { ownProgramFd, progInfo } from '../objects.ts'
import { closeFd, syscallError } from '../syscall.ts'
import { programFd } from './link.ts'
import { inNetns } from './netns.ts'
import type { AttachSite } from './site.ts'

/** What differs between the hooks that netlink sets. All run in the network namespace of the interface. */
interface Hook {
  readonly facts: Readonly<Record<string, number | string>>
  /** Puts another program in place of the one there; 0 or -errno. */
  replace(program: number, current: number): number
  remove(current: number): void
}

/** A program that netlink put on an interface; no link object of the kernel is behind it, so it has no pin. */
class NetlinkLink implements Link {
  readonly #what: string
  readonly #hook: Hook
  readonly #namespace: number
  #program: number
  #closed = false

  /** Takes over both descriptors. */
  constructor(what: string, hook: Hook, program: number, namespace: number) {
    this.#what = what
    this.#hook = hook
    this.#program = program
    this.#namespace = namespace
  }

  get fd(): number {
    this.#open()
    return this.#program
  }

  get closed(): boolean {
    return this.#closed
  }

  info(): LinkDetails {
    return { ...this.#hook.facts, type: 0, id: 0, programId: progInfo(this.fd).id }
  }

  update(program: ProgramRef, expected?: ProgramRef): void {
    this.#open()
    if (expected !== undefined && progInfo(programFd(expected)).id !== this.info().programId) {
      throw new BpfError('syscall', `${this.#what} has another program than was expected`, { errno: 'EPERM' })
    }
    const next = ownProgramFd(programFd(program))
    const result = this.#inside(() => this.#hook.replace(next, this.#program))
    if (result < 0) {
      closeFd(next)
      throw syscallError('netlink', result)
    }
    closeFd(this.#program)
    this.#program = next
  }

  detach(): void {
    this.close()
  }

  pin(): void {
    this.#open()
    throw new BpfError('unsupported', `${this.#what} cannot be pinned: netlink makes no link objects`)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    try {
      this.#inside(() => {
        this.#hook.remove(this.#program)
      })
    } finally {
      closeFd(this.#program)
      closeSync(this.#namespace)
    }
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #inside<T>(work: () => T): T {
    return inNetns(`/proc/self/fd/${this.#namespace}`, work)
  }

  #open(): void {
    if (this.#closed) throw new BpfError('closed', `${this.#what} is closed`)
  }
}

/** XDP by netlink: what kernels before 5.9 have, and a program that stays as long as this process lets it. */
export function attachXdpByNetlink(site: AttachSite, ifindex: number, mode: number): Link {
  const hook: Hook = {
    facts: { ifindex },
    replace: (program, current) => setXdp(ifindex, program, current, mode),
    remove: (current) => {
      setXdp(ifindex, null, current, mode)
    },
  }
  return make(site, hook, (program) => {
    const result = setXdp(ifindex, program, null, mode)
    if (result === -Errno.EBUSY || result === -Errno.EEXIST) {
      throw syscallError(
        'netlink',
        result,
        site.where,
        `the interface has the XDP program ${xdpProgramId(ifindex)} already`,
      )
    }
    return result
  })
}

/** tc by netlink: a filter of clsact, what kernels before 6.6 have. clsact goes with the last filter, if it came with it. */
export function attachTcByNetlink(site: AttachSite, ifindex: number): Link {
  const direction = site.attachType === AttachType.TCX_INGRESS ? 'ingress' : 'egress'
  const { handle = 0, priority = 0 } = site.options.tc ?? {}
  let filter: TcFilter = { ifindex, direction, handle, priority }
  const { name } = site.spec
  const created = addClsact(ifindex)
  if (created < 0 && created !== -Errno.EEXIST) {
    throw syscallError('netlink', created, site.where, 'adding the queue discipline clsact')
  }
  const cleanUp = (): void => {
    if (created === 0 && countFilters(ifindex) === 0) removeClsact(ifindex)
  }
  const hook: Hook = {
    get facts() {
      return { ...filter }
    },
    replace: (program) => {
      const result = addFilter(filter, program, name, true)
      return typeof result === 'number' ? result : 0
    },
    remove: () => {
      removeFilter(filter)
      cleanUp()
    },
  }
  return make(site, hook, (program) => {
    const result = addFilter(filter, program, name)
    if (typeof result !== 'number') filter = result
    else cleanUp()
    return typeof result === 'number' ? result : 0
  })
}

/** Keeps a program and the namespace of the calling thread for as long as the link is open. */
function make(site: AttachSite, hook: Hook, attach: (program: number) => number): Link {
  const program = ownProgramFd(site.fd)
  try {
    const result = attach(program)
    if (result < 0) throw syscallError('netlink', result, site.where, 'attaching the program to the interface')
    return new NetlinkLink(site.what, hook, program, openSync('/proc/thread-self/ns/net', 'r'))
  } catch (error) {
    closeFd(program)
    throw error
  }
}
