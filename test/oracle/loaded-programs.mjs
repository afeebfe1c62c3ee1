// Loads objects into the running kernel with bpftool, and reads back what the kernel made of their programs. All of it
// happens in a mount namespace of its own, with its own bpf file system: nothing is left behind.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Runs in the namespace: $1 bpftool, $2 object, $3 directory for results, $4 program-info, $5 pin-programs. */
const SCRIPT = `
mount -t bpf bpf /sys/fs/bpf || exit 9
p=/sys/fs/bpf/programs
"$1" prog loadall "$2" $p >/dev/null 2>&1 || "$5" "$2" $p
for f in $p/*; do
  [ -e "$f" ] || continue
  n=$(basename "$f")
  "$1" prog dump xlated pinned "$f" >"$3/$n.text" 2>/dev/null && \\
    "$1" prog dump xlated pinned "$f" file "$3/$n.bytes" >/dev/null 2>&1 && \\
    "$4" "$f" >"$3/$n.info"
done
cat /proc/kallsyms >"$3/kallsyms"
`

/** Compiles a C helper of this directory once. */
function compile(name, work, options = []) {
  const tool = join(work, name)
  if (!existsSync(tool)) {
    const source = fileURLToPath(new URL(`${name}.c`, import.meta.url))
    execFileSync('gcc', ['-O1', '-o', tool, source, ...options], { stdio: 'inherit' })
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
 * The programs of an object that the kernel accepts, as it rewrote them: all of them at once if bpftool can load the
 * whole object, otherwise each that loads alone. null when none does.
 * @returns {{ name: string, bytes: Uint8Array, lines: string[], jitedFunctions: bigint[] }[] | null}
 */
export function dumpLoaded(object, oracle, work) {
  const out = join(work, 'loaded')
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out)
  const info = compile('program-info', work)
  const pin = compile('pin-programs', work, [`-I${oracle}/include`, join(oracle, 'libbpf.a'), '-lelf', '-lz'])
  const run = ['-m', 'sh', '-c', SCRIPT, 'sh', join(oracle, 'bpftool'), object, out, info, pin]
  spawnSync('unshare', run, { timeout: 300_000 })
  const names = readdirSync(out)
    .filter((name) => name.endsWith('.info'))
    .map((name) => name.slice(0, -5))
  if (names.length === 0 || !existsSync(join(out, 'kallsyms'))) return null
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
