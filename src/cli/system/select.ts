import { BpfError, toHex } from '../../bytes/index.ts'
import { Btf, BtfKind } from '../../btf/index.ts'
import {
  btfBytes,
  closeFd,
  getPinned,
  mapInfo,
  objectIds,
  openById,
  progFunctionType,
  progInfo,
} from '../../kernel/index.ts'
import type { Words } from '../frame/words.ts'
import { fdinfo } from './fdinfo.ts'

/** Kernel names are cut at this length; a longer one is found in the program's BTF. */
const KERNEL_NAME_LENGTH = 15

/** Opens what `id N | pinned FILE | name NAME` means; the caller closes the descriptors. */
export function selectMaps(words: Words): number[] {
  switch (words.keyword(['id', 'name', 'pinned'], 'way to name a map')) {
    case 'id':
      return [openId('map', words.number('a map id'))]
    case 'pinned':
      return [openPinned('map', words.next('a path'))]
    case 'name':
    default: {
      const name = words.next('a map name')
      return openMatching(
        'map',
        (fd) => mapInfo(fd).name === name,
        () => notFound(`there is no map '${name}'`),
      )
    }
  }
}

/** Opens what `id N | tag TAG | name NAME | pinned FILE` means; the caller closes the descriptors. */
export function selectPrograms(words: Words): number[] {
  switch (words.keyword(['id', 'tag', 'name', 'pinned'], 'way to name a program')) {
    case 'id':
      return [openId('prog', words.number('a program id'))]
    case 'pinned':
      return [openPinned('prog', words.next('a path'))]
    case 'tag': {
      const tag = words.next('a tag').toLowerCase()
      return openMatching(
        'prog',
        (fd) => toHex(progInfo(fd).tag) === tag,
        () => notFound(`there is no program with tag '${tag}'`),
      )
    }
    case 'name':
    default: {
      const name = words.next('a program name')
      return openMatching(
        'prog',
        (fd) => fullName(fd) === name,
        () => notFound(`there is no program '${name}'`),
      )
    }
  }
}

const NOUNS = { map: 'map', prog: 'program', btf: 'BTF' } as const

/** Opens an object by id. @throws BpfError `not-found`, `syscall` */
export function openId(kind: 'map' | 'prog' | 'btf', id: number): number {
  try {
    return openById(kind, id)
  } catch (error) {
    if (!isGone(error)) throw error
    throw new BpfError('not-found', `there is no ${NOUNS[kind]} with id ${id}`, { cause: error })
  }
}

/** Opens a pinned map or program; bpf(2) would take one for the other. @throws BpfError `type-mismatch`, `syscall` */
function openPinned(kind: 'map' | 'prog', path: string): number {
  const fd = getPinned(path)
  const fields = fdinfo(fd)
  const actual = fields.has('link_id')
    ? 'link'
    : fields.has('map_id')
      ? 'map'
      : fields.has('prog_id')
        ? 'prog'
        : 'other'
  if (actual === kind) return fd
  closeFd(fd)
  const noun = actual === 'other' ? 'something else' : actual === 'link' ? 'a link' : `a ${NOUNS[actual]}`
  throw new BpfError('type-mismatch', `what is pinned there is ${noun}, not a ${NOUNS[kind]}`, {
    where: { file: path },
  })
}

/** Opens all maps or programs, one after the other; `work` must not keep the descriptor. */
export function forEachObject(kind: 'map' | 'prog' | 'btf', work: (fd: number) => void): void {
  for (const id of objectIds(kind)) {
    let fd: number
    try {
      fd = openById(kind, id)
    } catch (error) {
      // It went away in between.
      if (isGone(error)) continue
      throw error
    }
    try {
      work(fd)
    } finally {
      closeFd(fd)
    }
  }
}

function openMatching(kind: 'map' | 'prog', matches: (fd: number) => boolean, none: () => Error): number[] {
  const fds: number[] = []
  for (const id of objectIds(kind)) {
    let fd: number
    try {
      fd = openById(kind, id)
    } catch (error) {
      if (isGone(error)) continue
      throw error
    }
    if (matches(fd)) fds.push(fd)
    else closeFd(fd)
  }
  if (fds.length === 0) throw none()
  return fds
}

function notFound(message: string): BpfError {
  return new BpfError('not-found', message)
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'errno' in error && error.errno === 'ENOENT'
}

/** A program's name in full length, from its BTF where the kernel has cut it. */
export function fullName(fd: number): string {
  const info = progInfo(fd)
  if (info.name.length < KERNEL_NAME_LENGTH || info.btfId === 0) return info.name
  const typeId = progFunctionType(fd)
  if (typeId === 0) return info.name
  const btf = btfById(info.btfId)
  return btf.kind(typeId) === BtfKind.FUNC ? btf.name(typeId) : info.name
}

/** BTF that a program or map brought to the kernel. @throws BpfError `syscall` */
export function btfById(id: number): Btf {
  const fd = openId('btf', id)
  try {
    return Btf.parse(btfBytes(fd), { name: `BTF ${id}` })
  } finally {
    closeFd(fd)
  }
}
