import { Cmd, Errno } from '../uapi/index.ts'

type Hints = Readonly<Partial<Record<number, string>>>

const MAP_UPDATE: Hints = {
  [Errno.E2BIG]: 'the map is full, or the index is not below max_entries',
  [Errno.EEXIST]: 'the key is there already (BPF_NOEXIST)',
  [Errno.ENOENT]: 'there is no such key (BPF_EXIST)',
  [Errno.ENOMEM]: 'no memory for another element',
  [Errno.EPERM]: 'the map is frozen, or was opened read-only',
  [Errno.EINVAL]: 'flags or value that this map type does not take',
  [Errno.EBUSY]: 'the element is in use',
}

const HINTS: Readonly<Partial<Record<number, Hints>>> = {
  [Cmd.MAP_CREATE]: {
    [Errno.EPERM]:
      'needs CAP_BPF (with CAP_NET_ADMIN or CAP_PERFMON for some types); before Linux 5.11 also RLIMIT_MEMLOCK',
    [Errno.EINVAL]:
      'this map type does not take these sizes, this number of entries or these flags, or the kernel does not know the type',
    [Errno.E2BIG]: 'key, value or the whole map is too large',
    [Errno.ENOMEM]: 'not enough memory for the map',
  },
  [Cmd.MAP_LOOKUP_ELEM]: {
    [Errno.ENOENT]: 'there is no such key',
    [Errno.EPERM]: 'the map was opened write-only',
    [Errno.ENOTSUPP]: 'maps of this type cannot be read by key',
    [Errno.EOPNOTSUPP]: 'maps of this type cannot be read by key',
  },
  [Cmd.MAP_UPDATE_ELEM]: MAP_UPDATE,
  [Cmd.MAP_DELETE_ELEM]: {
    [Errno.ENOENT]: 'there is no such key',
    [Errno.EINVAL]: 'elements of this map type cannot be deleted',
    [Errno.EPERM]: 'the map is frozen, or was opened read-only',
  },
  [Cmd.MAP_GET_NEXT_KEY]: {
    [Errno.ENOENT]: 'there are no more keys',
    [Errno.ENOTSUPP]: 'maps of this type have no keys',
    [Errno.EOPNOTSUPP]: 'maps of this type have no keys',
  },
  [Cmd.MAP_LOOKUP_AND_DELETE_ELEM]: {
    [Errno.ENOENT]: 'there is no such key, or nothing queued',
    [Errno.ENOTSUPP]: 'maps of this type do not take elements out',
    [Errno.EOPNOTSUPP]: 'maps of this type do not take elements out',
  },
  [Cmd.MAP_FREEZE]: {
    [Errno.EBUSY]: 'the map is mapped writable',
    [Errno.EPERM]: 'the map is frozen already',
    [Errno.ENOTSUPP]: 'maps of this type cannot be frozen',
  },
  [Cmd.PROG_LOAD]: {
    [Errno.EPERM]:
      'needs CAP_BPF, and CAP_PERFMON for tracing or CAP_NET_ADMIN for networking programs; a kernel under lockdown or without BPF trampolines also answers so for fentry, fexit, LSM and freplace',
    [Errno.E2BIG]: 'more instructions than the kernel takes',
    [Errno.EINVAL]: 'program type, attach type or flags that this kernel does not know or does not combine',
    [Errno.ENOTSUPP]: 'the kernel does not support this kind of program',
    [Errno.EOPNOTSUPP]: 'the kernel does not support this kind of program',
  },
  [Cmd.PROG_TEST_RUN]: {
    [Errno.ENOTSUPP]: 'the kernel cannot test-run programs of this type; the vm can',
    [Errno.EOPNOTSUPP]: 'the kernel cannot test-run programs of this type; the vm can',
    [Errno.EINVAL]:
      'the packet is shorter than an Ethernet header (14 bytes) or too long, or this program type does not take this data, context, repeat count or flag',
    [Errno.E2BIG]: 'context with fields set that this program type does not take as input',
    [Errno.ENOSPC]: 'the packet or context after the run does not fit the output buffer',
  },
  [Cmd.OBJ_PIN]: {
    [Errno.EPERM]: 'the path is not in a bpf file system (mount -t bpf bpf DIR)',
    [Errno.EEXIST]: 'the path exists already',
    [Errno.ENOENT]: 'the directory does not exist',
  },
  [Cmd.OBJ_GET]: {
    [Errno.ENOENT]: 'nothing is pinned there',
    [Errno.EACCES]: 'the pinned object does not allow this access, or the path is not a pinned object',
  },
  [Cmd.BTF_LOAD]: { [Errno.EINVAL]: 'the kernel refuses this BTF' },
}

const GENERAL: Hints = {
  [Errno.EPERM]: 'a missing capability (CAP_BPF or CAP_SYS_ADMIN), kernel lockdown or a seccomp filter',
  [Errno.ENOSYS]: 'bpf(2) does not exist here: a kernel without CONFIG_BPF_SYSCALL, or a filter that hides it',
  [Errno.EBADF]: 'a descriptor that is closed or of the wrong kind',
  [Errno.EMFILE]: 'too many open files in this process',
  [Errno.EFAULT]: 'an address that cannot be read or written',
}

/** What an errno of a bpf(2) command usually means, in words; empty when there is nothing to add. */
export function errnoHint(cmd: number, errno: number): string {
  const number = Math.abs(errno)
  return HINTS[cmd]?.[number] ?? GENERAL[number] ?? ''
}
