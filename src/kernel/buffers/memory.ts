import { native, syscallError } from '../syscall.ts'

const PROT_READ = 1
const PROT_WRITE = 2

/** Maps a descriptor. @throws BpfError `syscall` */
export function mapMemory(
  fd: number,
  length: number,
  protection: 'r' | 'rw',
  offset: number,
  address: bigint = 0n,
): ArrayBuffer {
  const access = protection === 'r' ? PROT_READ : PROT_READ | PROT_WRITE
  const memory = native().mmap(fd, length, access, offset, undefined, address)
  if (typeof memory === 'number') throw syscallError('mmap', memory)
  return memory
}
