// Loads objects into the running kernel with bpftool, and reads back what the kernel made of their programs. All of it
// happens in a mount namespace of its own, with its own bpf file system: nothing is left behind.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Runs in the namespace: $1 bpftool, $2 object, $3 directory for results, $4 program-info. */
const SCRIPT = `
mkdir -p "$3/fs" && mount -t bpf bpf "$3/fs" || exit 9
"$1" prog loadall "$2" "$3/fs/p" >/dev/null 2>"$3/error" || exit 8
for p in "$3"/fs/p/*; do
  n=$(basename "$p")
  "$1" prog dump xlated pinned "$p" >"$3/$n.text" 2>/dev/null && \\
    "$1" prog dump xlated pinned "$p" file "$3/$n.bytes" >/dev/null 2>&1 && \\
    "$4" "$p" >"$3/$n.info"
done
cat /proc/kallsyms >"$3/kallsyms"
exit 0
`

function compileInfo(work) {
  const tool = join(work, 'program-info')
  if (!existsSync(tool)) {
    execFileSync('gcc', ['-O1', '-o', tool, fileURLToPath(new URL('program-info.c', import.meta.url))])
  }
  return tool
}

let latest = { symbols: new Map(), callBase: 0n }

/** A function that gives the kernel's symbols as they were when the last object was loaded. */
export function kernelSymbols() {
  return () => ({ symbol: (address) => latest.symbols.get(address), callBase: latest.callBase })
}

function readSymbols(path) {
  const symbols = new Map()
  let callBase = 0n
  for (const line of readFileSync(path, 'latin1').split('\n')) {
    const [address, , name] = line.split(/\s+/)
    if (name === undefined) continue
    const at = BigInt(`0x${address}`)
    if (name === '__bpf_call_base') callBase = at
    if (!symbols.has(at)) symbols.set(at, name)
  }
  return { symbols, callBase }
}

/**
 * The programs of an object as the kernel rewrote them, or null when bpftool cannot load the whole object.
 * @returns {{ name: string, bytes: Uint8Array, lines: string[], jitedFunctions: bigint[] }[] | null}
 */
export function dumpLoaded(object, bpftool, work) {
  const out = join(work, 'loaded')
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out)
  const run = spawnSync('unshare', ['-m', 'sh', '-c', SCRIPT, 'sh', bpftool, object, out, compileInfo(work)], {
    timeout: 60_000,
  })
  if (run.status !== 0) return null
  const names = readdirSync(out)
    .filter((name) => name.endsWith('.info'))
    .map((name) => name.slice(0, -5))
  if (names.length === 0) return []
  latest = readSymbols(join(out, 'kallsyms'))
  return names.map((name) => ({
    name,
    bytes: new Uint8Array(readFileSync(join(out, `${name}.bytes`))),
    lines: readFileSync(join(out, `${name}.text`), 'utf8')
      .split('\n')
      .filter((line) => /^ *\d+: /.test(line)),
    jitedFunctions: readFileSync(join(out, `${name}.info`), 'utf8')
      .trim()
      .split(' ')
      .slice(1)
      .map((address) => BigInt(`0x${address}`)),
  }))
}
