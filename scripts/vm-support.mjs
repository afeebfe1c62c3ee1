// docs/vm.md: the map types and helpers that the vm has and lacks, from the code. `node scripts/vm-support.mjs --write`
// writes it, and a test checks that it is current. Needs dist/.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const vmSupportFile = fileURLToPath(new URL('../docs/vm.md', import.meta.url))

/** The page's text. */
export async function vmSupport() {
  const { supportedHelpers, supportedMapTypes } = await import('../dist/vm/index.js')
  const { HELPERS, helperName, MAP_TYPES, mapTypeName } = await import('../dist/uapi/index.js')
  const maps = supportedMapTypes()
  const helpers = supportedHelpers()
  const list = (names) => names.map((name) => `\`${name}\``).join(', ')
  const lackingMaps = MAP_TYPES.filter(({ value }) => value !== 0 && !maps.includes(value))
  const lackingHelpers = HELPERS.filter(({ id }) => id !== 0 && !helpers.includes(id))
  return `# The virtual machine: what is there

Made by \`node scripts/vm-support.mjs --write\` from the code. A program that uses what is missing is refused at load, by
name. Programs run unverified, in the WebAssembly sandbox. What maps do where the kernel leaves it open:
[vm-maps.md](vm-maps.md).

## Map types: ${maps.length} of ${maps.length + lackingMaps.length}

${list(maps.map((id) => mapTypeName(id)))}

Not there: ${list(lackingMaps.map(({ value }) => mapTypeName(value)))}

## Helpers: ${helpers.length} of ${helpers.length + lackingHelpers.length}

${list(helpers.map((id) => `bpf_${helperName(id)}`))}

Not there: ${list(lackingHelpers.map(({ id }) => `bpf_${helperName(id)}`))}
`
}

if (process.argv.includes('--write')) writeFileSync(vmSupportFile, await vmSupport())
