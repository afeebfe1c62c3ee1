// Writes core-5000.bpf.c and core-5000.bpf.o: 50 programs that hold 5,000 CO-RE relocations between them, against the
// structs, unions and enums of the running kernel.
//
//   node bench/peer/make-5000-core.mjs OUTPUT_DIR
//
// The mix is that of tracing tools: mostly field offsets read as BPF_CORE_READ does, some loads straight through a
// typed pointer, bitfields, and checks whether fields, types and enum values exist. No relocation is made twice, so the
// compiler cannot merge any; the number in .BTF.ext is checked.
//
// Environment: ELFBEE_ORACLE_DIR (its bpftool, vmlinux.h and libbpf headers; default .cache/oracle in the repository),
//              CLANG (default clang-19).
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const TOTAL = 5000
const PROGRAMS = 50

const out = process.argv[2]
if (!out) {
  console.error('usage: node make-5000-core.mjs OUTPUT_DIR')
  process.exit(2)
}
const oracle = process.env.ELFBEE_ORACLE_DIR ?? join(import.meta.dirname, '../../.cache/oracle')
const clang = process.env.CLANG ?? 'clang-19'

const dump = execFileSync(join(oracle, 'bpftool'), ['-j', 'btf', 'dump', 'file', '/sys/kernel/btf/vmlinux'], {
  maxBuffer: 1 << 30,
  encoding: 'utf8',
})
const types = new Map(JSON.parse(dump).types.map((type) => [type.id, type]))

// A name that occurs twice gets a suffix in vmlinux.h: leave those out.
const nameCount = new Map()
for (const type of types.values()) nameCount.set(type.name, (nameCount.get(type.name) ?? 0) + 1)
const identifier = /^[a-z][a-z0-9_]*$/i
const usable = (type) => identifier.test(type.name) && nameCount.get(type.name) === 1

// An order that does not depend on the ids: FNV-1a of the name.
const hash = (text) => [...text].reduce((h, c) => Math.imul(h ^ c.charCodeAt(0), 0x01000193) >>> 0, 0x811c9dc5)
const byHash = (a, b) => hash(a.name) - hash(b.name)

// What tracing tools look at comes first, then whatever the hash brings.
const popular =
  'task_struct sock sk_buff file inode dentry mm_struct net_device request bio cred signal_struct super_block rq socket ' +
  'vm_area_struct tcp_sock inet_sock inet_connection_sock request_queue gendisk pid nsproxy cgroup css_set page folio ' +
  'address_space block_device user_struct files_struct fs_struct path mount vfsmount net bpf_prog bpf_map kobject device'
const rank = new Map(popular.split(' ').map((name, i) => [name, i]))
const structs = [...types.values()]
  .filter((type) => (type.kind === 'STRUCT' || type.kind === 'UNION') && type.vlen >= 4 && usable(type))
  .sort((a, b) => (rank.get(a.name) ?? 1000) - (rank.get(b.name) ?? 1000) || byHash(a, b))
const enums = [...types.values()].filter((type) => type.kind === 'ENUM' && type.vlen >= 2 && usable(type)).sort(byHash)

const strip = (id) => {
  let type = types.get(id)
  while (type && ['CONST', 'VOLATILE', 'TYPEDEF', 'TYPE_TAG', 'RESTRICT'].includes(type.kind)) {
    type = types.get(type.type_id)
  }
  return type
}

// A load of a packed member becomes several; structs that hold pointers are practically never packed. A load has a
// 16-bit offset.
const loadable = (type, member) =>
  type.size % 8 === 0 &&
  type.size < 32768 &&
  ['INT', 'PTR'].includes(strip(member.type_id)?.kind) &&
  type.members.some((other) => strip(other.type_id)?.kind === 'PTR')

const tag = (type) => `${type.kind.toLowerCase()} ${type.name}`
const statements = { read: [], load: [], bits: [], exists: [], size: [], type: [], enumerator: [] }

for (const type of structs) {
  const fields = type.members.filter((member) => identifier.test(member.name))
  const pointer = `((${tag(type)} *)p)`
  const limit = rank.has(type.name) ? 60 : 8
  for (const [i, member] of fields.slice(0, limit).entries()) {
    const target = strip(member.type_id)
    const field = `${pointer}->${member.name}`
    if (member.bitfield_size) {
      for (const kind of ['BYTE_OFFSET', 'BYTE_SIZE', 'LSHIFT_U64', 'RSHIFT_U64', 'SIGNED']) {
        statements.bits.push(`sum += __builtin_preserve_field_info(${field}, BPF_FIELD_${kind});`)
      }
    } else if (i % 8 === 5) {
      statements.exists.push(`sum += bpf_core_field_exists(${field});`)
    } else if (i % 8 === 6) {
      statements.size.push(`sum += bpf_core_field_size(${field});`)
    } else if (i % 8 === 3 && loadable(type, member)) {
      statements.load.push(`sum += (u64)${field};`)
    } else if (target?.kind === 'STRUCT' && target.members.some((m) => identifier.test(m.name) && !m.bitfield_size)) {
      const inner = target.members.find((m) => identifier.test(m.name) && !m.bitfield_size)
      statements.read.push(`bpf_core_read(&value, 8, &${field}.${inner.name});`)
    } else {
      statements.read.push(`bpf_core_read(&value, 8, &${field});`)
    }
  }
  statements.type.push(
    statements.type.length % 2
      ? `sum += bpf_core_type_size(${tag(type)});`
      : `sum += bpf_core_type_exists(${tag(type)});`,
  )
}
for (const type of enums) {
  const { name } = type.values[0]
  if (!identifier.test(name)) continue
  statements.enumerator.push(
    statements.enumerator.length % 2
      ? `sum += bpf_core_enum_value(enum ${type.name}, ${name});`
      : `sum += bpf_core_enum_value_exists(enum ${type.name}, ${name});`,
  )
}

const shares = { load: 700, bits: 250, exists: 250, size: 100, type: 100, enumerator: 100 }
const chosen = Object.entries(shares).flatMap(([kind, count]) => statements[kind].slice(0, count))
// Each program reads ctx->args[0] first, which is a relocation as well.
const wanted = TOTAL - PROGRAMS
chosen.push(...statements.read.slice(0, wanted - chosen.length))
if (chosen.length !== wanted) throw new Error(`only ${chosen.length} different relocations found in the kernel's BTF`)
// Spread the kinds over the programs.
const perProgram = Array.from({ length: PROGRAMS }, (_, i) => chosen.filter((_, j) => j % PROGRAMS === i))

const source = `// Generated by bench/peer/make-5000-core.mjs
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";
${perProgram
  .map(
    (lines, i) => `
SEC("raw_tp/sys_enter")
int core_${i}(struct bpf_raw_tracepoint_args *ctx)
{
	void *p = (void *)ctx->args[0];
	volatile u64 sum = 0;
	u64 value = 0;

${lines.map((line) => `\t${line}${line.startsWith('bpf_core_read') ? '\n\tsum += value;' : ''}`).join('\n')}
	return sum != 0;
}
`,
  )
  .join('')}`

mkdirSync(out, { recursive: true })
const file = join(out, 'core-5000.bpf')
writeFileSync(`${file}.c`, source)
execFileSync(
  clang,
  [
    '-g',
    '-O2',
    '--target=bpf',
    '-mcpu=v3',
    '-D__TARGET_ARCH_x86',
    '-DBPF_NO_KFUNC_PROTOTYPES=',
    '-Wall',
    '-Werror',
  ].concat(`-I${join(oracle, 'include')}`, '-c', 'core-5000.bpf.c', '-o', 'core-5000.bpf.o'),
  { cwd: out, stdio: 'inherit' },
)
// The line table and the rest of DWARF are of no interest here, and both sides would have to skip them.
execFileSync(clang.replace('clang', 'llvm-strip'), ['-g', `${file}.o`], { stdio: 'inherit' })

const count = coreRelocations(readFileSync(`${file}.o`))
if (count !== TOTAL) throw new Error(`the object has ${count} CO-RE relocations, wanted ${TOTAL}`)
console.log(`${file}.o: ${count} CO-RE relocations in ${PROGRAMS} programs`)

// Counts the records in the CO-RE part of .BTF.ext of a little-endian 64-bit ELF file.
function coreRelocations(elf) {
  const u64 = (at) => Number(elf.readBigUInt64LE(at))
  const table = u64(40)
  const header = (i) => table + i * elf.readUInt16LE(58)
  const names = u64(header(elf.readUInt16LE(62)) + 24)
  for (let i = 0; i < elf.readUInt16LE(60); i++) {
    const name = names + elf.readUInt32LE(header(i))
    if (elf.toString('latin1', name, elf.indexOf(0, name)) !== '.BTF.ext') continue
    const start = u64(header(i) + 24)
    let at = start + elf.readUInt32LE(start + 4) + elf.readUInt32LE(start + 24)
    const end = at + elf.readUInt32LE(start + 28)
    let total = 0
    const size = elf.readUInt32LE(at)
    for (at += 4; at < end;) {
      const records = elf.readUInt32LE(at + 4)
      total += records
      at += 8 + records * size
    }
    return total
  }
  return 0
}
