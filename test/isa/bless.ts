// Writes the golden texts of print.test.ts from the real tools: BLESS=1 npx vitest run test/isa/print.test.ts
// Needs llvm-objdump-19, gcc and the oracle's kernel source (ELFBEE_ORACLE_DIR or .cache/oracle).
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** llvm-objdump's text of an object, from the first section on. */
export function llvmText(object: string, cpu: string | null): string {
  const out = execFileSync('llvm-objdump-19', [
    '-d',
    '--no-show-raw-insn',
    ...(cpu === null ? [] : [`--mcpu=${cpu}`]),
    join(root, object),
  ]).toString()
  return out.slice(out.indexOf('Disassembly of section'))
}

/** The kernel's printer on each of some blocks of instructions. */
export function kernelTexts(blocks: readonly Uint8Array[]): string[] {
  const source = join(process.env['ELFBEE_ORACLE_DIR'] ?? join(root, '.cache/oracle'), 'linux-source-6.12')
  const work = mkdtempSync(join(tmpdir(), 'elfbee-bless-'))
  const harness = join(work, 'disasm-dump')
  const includes = ['tools/include', 'tools/include/uapi', 'kernel/bpf'].map((path) => `-I${join(source, path)}`)
  const files = [join(root, 'test/oracle/disasm-dump.c'), join(source, 'kernel/bpf/disasm.c')]
  execFileSync('gcc', ['-O1', '-w', ...includes, '-o', harness, ...files])
  const input = Buffer.concat(
    blocks.flatMap((bytes) => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      return [length, bytes]
    }),
  )
  const texts = execFileSync(harness, { input }).toString().split('.\n')
  rmSync(work, { recursive: true })
  return texts.slice(0, blocks.length)
}

/** Writes one golden file. */
export function bless(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}
