// Builds the native addon where that is possible, and says why not where it is not: everything but the kernel
// backend works without it. With REQUIRE_KERNEL=1 a failure is an error.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const native = fileURLToPath(new URL('../native/', import.meta.url))
const required = process.env.REQUIRE_KERNEL === '1'
const addon = `${native}build/Release/elfbee.node`

function giveUp(reason) {
  console.error(`native addon: ${reason}. The kernel backend is off; everything else works.`)
  process.exit(required ? 1 : 0)
}

if (process.platform !== 'linux') giveUp('it is for Linux only')
if (existsSync(addon) && !process.argv.includes('--force')) process.exit(0)
const missing = ['make', 'g++', 'python3'].filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0)
if (missing.length > 0) giveUp(`not built, this machine has no ${missing.join(', no ')}`)

// npm puts its own node-gyp on PATH while it runs a script.
const build = spawnSync('node-gyp', ['rebuild', '-C', native], { encoding: 'utf8' })
if (build.status !== 0) {
  process.stderr.write(`${build.stdout ?? ''}${build.stderr ?? ''}`)
  giveUp(build.error === undefined ? 'its build failed (output above)' : 'node-gyp was not found; run this by npm')
}
console.error('native addon: built')
