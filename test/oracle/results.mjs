// Shared by the oracle scripts: where the oracle's material is, and how results are written.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { fileURLToPath } from 'node:url'

/** Root of the repository. */
export const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Directory with the oracle's material (sources, bpftool, compiled objects): $ELFBEE_ORACLE_DIR or .cache/oracle; that
 * of the source of another kernel series than 6.12 is a folder in it (ELFBEE_ORACLE_SOURCE of prepare.sh).
 */
export function oracleDir(series = '6.12') {
  const base = process.env.ELFBEE_ORACLE_DIR ?? `${root}.cache/oracle`
  const dir = series === '6.12' ? base : `${base}/${series}`
  if (!existsSync(dir)) throw new Error(`${dir} does not exist: prepare the oracle first, or set ELFBEE_ORACLE_DIR`)
  return dir
}

/** First line of a tool's --version, or null when it is not installed. */
export function toolVersion(command, args = ['--version']) {
  try {
    return execFileSync(command, args, { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .split('\n')[0]
      .trim()
  } catch {
    return null
  }
}

/**
 * Writes docs/results/NAME.json and prints the last line that scripts look for: "NAME: X of Y", or "NAME: ratio R".
 * @param {string} name
 * @param {{ equal: number, total: number, differences: unknown[] } | { ratio: number, rows: unknown[] }} result further
 * fields are kept as they are
 */
export function writeResult(name, result) {
  const dir = `${root}docs/results`
  mkdirSync(dir, { recursive: true })
  const record = {
    name,
    date: new Date().toISOString().slice(0, 10),
    kernel: release(),
    node: process.version,
    ...result,
  }
  writeFileSync(`${dir}/${name}.json`, JSON.stringify(record, null, 2) + '\n')
  if (result.ratio !== undefined) console.log(`${name}: ratio ${result.ratio}`)
  else console.log(`${name}: ${result.equal} of ${result.total}`)
}

/** Processors that this machine may have: the kernel's verifier knows bounds of their numbers. */
export function possibleCpus() {
  const last = /(\d+)\s*$/.exec(readFileSync('/sys/devices/system/cpu/possible', 'utf8'))
  return last === null ? 8192 : Number(last[1]) + 1
}
