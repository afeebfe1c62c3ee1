import type { BackendMap, BackendProgram } from './backend.ts'

/** A program or map, as load() gives it or as the backend has it. */
export type ProgramRef = BackendProgram | { readonly raw: BackendProgram }
export type MapRef = BackendMap | { readonly raw: BackendMap }

/** Where to put a program among those of the same hook (tcx, netkit, cgroup). At most one of the first three. */
export interface AttachOrder {
  /** Right before this program or link; `'all'` for the head of the list. */
  readonly before?: ProgramRef | Link | 'all'
  /** Right after this program or link; `'all'` for the end of the list. */
  readonly after?: ProgramRef | Link | 'all'
  /** Fails with ESTALE when the hook has changed since this revision (BPF_PROG_QUERY) was read. */
  readonly revision?: bigint
}

/** What a perf_event program samples; see perf_event_open(2). */
export interface PerfEventSpec {
  /** PERF_TYPE_*: 0 hardware, 1 software. */
  readonly type: number
  /** PERF_COUNT_*: of software events 0 is the CPU clock and 1 the task clock. */
  readonly config: number | bigint
  /** One sample every so many events; or `frequency` in samples a second. */
  readonly period?: number
  readonly frequency?: number
  /** Process to watch; without one, everything on `cpu`. */
  readonly pid?: number
  /** CPU to watch; without one, the process wherever it runs. */
  readonly cpu?: number
}

/** Which objects an iterator walks; see `union bpf_iter_link_info`. */
export interface IteratorTarget {
  /** Elements of this map (`iter/bpf_map_elem`, `iter/bpf_sk_storage_map`). */
  readonly map?: MapRef
  /** Path of a cgroup, for `iter/cgroup`. */
  readonly cgroup?: string
  /** How to walk from that cgroup; `self` only visits it. */
  readonly order?: 'self' | 'descendants-pre' | 'descendants-post' | 'ancestors-up' | 'children'
  /** Only this thread, or the threads of this process (`iter/task` and its kin). */
  readonly tid?: number
  readonly pid?: number
}

/** Hook of a netfilter program; see enum nf_inet_hooks. */
export interface NetfilterHook {
  readonly family: 'ipv4' | 'ipv6'
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting'
  /** Order among the users of a hook, lowest first; neither INT32_MIN nor INT32_MAX. */
  readonly priority: number
  /** Puts fragments together first (BPF_F_NETFILTER_IP_DEFRAG); priority must be above -400. */
  readonly defragment?: boolean
}

/**
 * Where and how to attach a program. What is not given comes from its section name ("tracepoint/sched/sched_switch",
 * "uprobe//usr/bin/bash:readline"); an option that the hook does not know is an error.
 */
export interface AttachOptions {
  /** Value that bpf_get_attach_cookie() gives in the program. */
  readonly cookie?: number | bigint
  /** What the section would say behind its prefix: a tracepoint ("category/name"), a kernel function, a glob. */
  readonly target?: string
  /** Attach type (AttachType of elfbee/uapi), where the section tells none. */
  readonly attachType?: number
  /** Flags of the hook, as the kernel has them. */
  readonly flags?: number

  /** Network interface by name or index: xdp, tcx, netkit. */
  readonly interface?: string | number
  /** Path of the network namespace of that interface or hook ("/run/netns/blue", "/proc/123/ns/net"); default: ours. */
  readonly netns?: string
  /** How XDP runs; the default is up to the driver. */
  readonly xdpMode?: 'generic' | 'native' | 'offload'
  /** Position among other programs: tcx, netkit, cgroup. */
  readonly order?: AttachOrder
  readonly netfilter?: NetfilterHook

  /** Directory of a cgroup v2: cgroup programs and sockops. */
  readonly cgroup?: string
  /** Sockmap or sockhash whose sockets the program sees. */
  readonly map?: MapRef

  /** Binary of a uprobe: a path, or a name that is looked up in PATH and the folders of libraries. */
  readonly binary?: string
  /** Function in that binary, or in the kernel; "name+0x10" is inside it. */
  readonly symbol?: string
  /** Functions of a multi probe. */
  readonly symbols?: readonly string[]
  /** Bytes from the start of the binary or from `symbol`. */
  readonly offset?: number
  /** Places of a uprobe.multi in bytes from the start of the binary. */
  readonly offsets?: readonly number[]
  /** Cookies of a multi probe, one for each place. */
  readonly cookies?: readonly (number | bigint)[]
  /** Only this process (uprobes). */
  readonly pid?: number
  /** Probe returns instead of calls; default: as the section says. */
  readonly retprobe?: boolean
  /** Offset in the binary of a USDT semaphore that is counted up while attached. */
  readonly semaphore?: number
  /** USDT probe "provider:name" in `binary`. */
  readonly probe?: string
  /**
   * How kprobes, uprobes and tracepoints are attached: by a link of a perf event, by the perf event alone (no cookies;
   * Linux before 5.15), or by an event of tracefs (before 4.17). XDP and tc programs: by a link, or by netlink (XDP before
   * 5.9, tc before 6.6). The default is the newest that the kernel has for probes, and a link for the others.
   */
  readonly attachMode?: 'link' | 'perf' | 'tracefs' | 'netlink'
  /** Handle and priority of a tc filter, which netlink adds to clsact; 0 leaves the choice to the kernel. */
  readonly tc?: { readonly handle?: number; readonly priority?: number }

  readonly perfEvent?: PerfEventSpec
  readonly iterator?: IteratorTarget
}

/** What the kernel knows of a link. Fields behind the first three depend on the type. */
export interface LinkDetails {
  /** LinkType of elfbee/uapi. */
  readonly type: number
  /** Id of the link in the kernel; 0 for an attachment without a link object. */
  readonly id: number
  readonly programId: number
  /** Facts of the type, such as `ifindex`, `attachType`, `cgroupId`, `target`, `cookie`. */
  readonly [fact: string]: number | bigint | string | boolean
}

/**
 * A program that is attached. It stays so until close(), the end of the process, or as long as it is pinned; keep the
 * object, or use `using`. All methods but close() fail with BpfError `closed` afterwards.
 */
export interface Link {
  readonly fd: number
  readonly closed: boolean
  /** @throws BpfError `syscall` */
  info(): LinkDetails
  /**
   * Puts another program of the same type in place of this one, without a gap.
   * @param expected fails with EPERM when another program than this one is attached
   * @throws BpfError `syscall`, `unsupported` for hooks that cannot
   */
  update(program: ProgramRef, expected?: ProgramRef): void
  /** Detaches at once, even when others hold the link open; the link object stays. @throws BpfError `unsupported` */
  detach(): void
  /** Pins the link in a bpf file system, so that it survives the process. @throws BpfError `syscall` */
  pin(path: string): void
  /** Detaches unless it is pinned. May be called again. */
  close(): void
  [Symbol.dispose](): void
}

/** Link of an iterator program: every read walks the objects anew and gives what the program writes. */
export interface IteratorLink extends Link {
  /** Output of one walk, in pieces as the kernel gives them, read off the main thread. */
  chunks(options?: { readonly signal?: AbortSignal }): AsyncGenerator<Uint8Array, void, undefined>
  /** Output of one walk as text. */
  text(options?: { readonly signal?: AbortSignal }): Promise<string>
  /** Output of one walk as bytes, at once; blocks the thread. */
  readSync(): Uint8Array
  /** Lines of one walk. */
  [Symbol.asyncIterator](): AsyncGenerator<string, void, undefined>
}

/** Whether a link is of an iterator. */
export function isIteratorLink(link: Link): link is IteratorLink {
  return Symbol.asyncIterator in link
}
