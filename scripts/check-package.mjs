// Packs the package and checks the tarball as a user gets it: publint, are-the-types-wrong, an install in an empty
// folder with the command line run from there, and the example project with its own tests.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const work = mkdtempSync(join(tmpdir(), 'elfbee-package-'))
let passed = 0
let failed = 0

function check(name, run) {
  try {
    run()
    passed++
    console.log(`ok    ${name}`)
  } catch (error) {
    failed++
    console.log(`FAIL  ${name}\n${error.stdout ?? ''}${error.stderr ?? ''}${error.message}`)
  }
}
const sh = (cwd, command, ...args) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: 'pipe' })

try {
  sh(root, 'npm', 'pack', '--pack-destination', work)
  const tarball = join(work, readdirSync(work).find((name) => name.endsWith('.tgz')) ?? 'none')
  const list = sh(root, 'tar', 'tzf', tarball).trim().split('\n')
  check('the tarball holds dist, README, LICENSE and no tests, fixtures or build state', () => {
    const stray = list.filter(
      (file) => !/^package\/(dist\/.*\.(js|d\.ts|map)|README\.md|LICENSE|CHANGELOG\.md|package\.json)$/.test(file),
    )
    if (stray.length > 0) throw new Error(`stray files: ${stray.slice(0, 10).join(', ')}`)
  })
  // npx makes it so when it first meets a package, and never again: a later build of the same folder could not be run.
  check('the command line of the work tree can be executed', () => {
    if ((statSync(join(root, 'dist/cli/main.js')).mode & 0o111) === 0) throw new Error('dist/cli/main.js has no x bit')
  })
  check('publint', () => sh(root, 'npx', 'publint', 'run', tarball, '--strict'))
  check('are the types wrong', () => sh(root, 'npx', 'attw', tarball, '--profile', 'esm-only'))

  const install = join(work, 'install')
  cpSync(join(root, 'examples/packet-counter'), install, { recursive: true })
  const manifest = JSON.parse(readFileSync(join(install, 'package.json'), 'utf8'))
  manifest.devDependencies.elfbee = `file:${tarball}`
  writeFileSync(join(install, 'package.json'), JSON.stringify(manifest))
  check('the example project installs from the tarball', () => sh(install, 'npm', 'install', '--no-audit', '--no-fund'))
  check('its tests pass in the vm', () => sh(install, 'npm', 'test'))
  check('elfbee --version from the install', () => {
    const version = sh(install, 'npx', 'elfbee', '--version').trim()
    if (version !== manifestVersion()) throw new Error(`printed ${version}`)
  })
} finally {
  rmSync(work, { recursive: true, force: true })
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

function manifestVersion() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version
}
