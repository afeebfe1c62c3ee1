// docs/vm.md: the map types and helpers that the vm has and lacks, from the code. `node scripts/vm-support.mjs --write`
// writes it, and a test checks that it is current. Needs dist/.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const vmSupportFile = fileURLToPath(new URL('../docs/vm.md', import.meta.url))

/** The section on contexts. */
async function contexts() {
  const { CONTEXT_LAYOUTS, ARGUMENT_CONTEXTS } = await import('../dist/vm/runtime/context/layouts.js')
  const { contextLayout } = await import('../dist/loader/index.js')
  const { PROG_TYPES, ProgType, contextStruct, progTypeName, takesPacket } = await import('../dist/uapi/index.js')
  const rows = []
  /** Program type that a list of fields was shown for. */
  const shown = new Map()
  const code = (names) => names.map((name) => `\`${name}\``).join(' ')
  for (const { value: type } of PROG_TYPES) {
    if (type === 0) continue
    const layout = CONTEXT_LAYOUTS[type]
    let fields = 'bytes only (`ctx`)'
    if (ARGUMENT_CONTEXTS.has(type)) fields = '`args`: a list of numbers, and of bytes to point to'
    else {
      try {
        const hidden = new Set([...(layout?.data ?? []), layout?.length, 'sk', 'migrating_sk', 'flow_keys'])
        fields = code([...contextLayout(type).fields.keys()].filter((name) => !hidden.has(name)))
      } catch {
        // No structure of the user interface.
      }
    }
    const more = []
    if (takesPacket(type)) more.push('`data`: the packet')
    if (layout?.data) more.push(`\`data\`: what \`${layout.data[0]}\` and \`${layout.data[1]}\` point to`)
    if (layout?.returnsData) more.push('given back')
    if (layout?.socket) more.push('`socket`: of `vm.socket()`')
    for (const [name, what] of Object.entries(layout?.extras ?? {})) more.push(`\`${name}\`: ${what}`)
    const struct = type === ProgType.FLOW_DISSECTOR ? 'bpf_flow_keys' : (contextStruct(type) ?? '')
    const first = shown.get(fields)
    if (first !== undefined && fields.length > 60) fields = `as ${first}`
    else shown.set(fields, progTypeName(type))
    rows.push(`| ${progTypeName(type)} | ${struct} | ${fields} | ${more.join('; ')} |`)
  }
  return `## Contexts

\`run({ ctx })\` takes the structure as bytes, \`run({ fields: { mark: 7 } })\` by the names of its fields; the output then has
\`fields\` too, with what the program wrote. What a program asks of the kernel beside its return value (redirects, signals,
options of headers) is in the output's \`effects\`.

| program type | structure | fields | besides |
| --- | --- | --- | --- |
${rows.join('\n')}
`
}

/** The page's text. */
export async function vmSupport() {
  const { supportedHelpers, supportedMapTypes } = await import('../dist/vm/index.js')
  const { unsupportedHelpers } = await import('../dist/vm/index.js')
  const { KFUNCS } = await import('../dist/vm/runtime/kfuncs.js')
  const { HELPERS, helperName, MAP_TYPES, mapTypeName } = await import('../dist/uapi/index.js')
  const maps = supportedMapTypes()
  const helpers = supportedHelpers()
  const list = (names) => names.map((name) => `\`${name}\``).join(', ')
  const lackingMaps = MAP_TYPES.filter(({ value }) => value !== 0 && !maps.includes(value))
  const lackingHelpers = HELPERS.filter(({ id }) => id !== 0 && !helpers.includes(id))
  const reasons = unsupportedHelpers()
  const because = ({ id }) => `- \`bpf_${helperName(id)}\`: ${reasons.get(`bpf_${helperName(id)}`)}`
  return `# The virtual machine: what is there

Made by \`node scripts/vm-support.mjs --write\` from the code. A program that uses what is missing is refused at load, by
name. Programs are verified as Linux 6.18 does ([verifier.md](verifier.md)) and run in the WebAssembly sandbox. What maps
do where the kernel leaves it open: [vm-maps.md](vm-maps.md).

## Map types: ${maps.length} of ${maps.length + lackingMaps.length}

${list(maps.map((id) => mapTypeName(id)))}${lackingMaps.length === 0 ? '' : `\n\nNot there: ${list(lackingMaps.map(({ value }) => mapTypeName(value)))}`}

Instruction arrays (\`insn_array\`) came with Linux 6.19: a vm does as 6.18, and refuses them with its errno, unless it is
made with \`linux: '6.19'\`. Programs with indirect jumps (\`gotox\`) and the jump tables of compilers run without the
verifier (\`verify: false\`), which refuses them as 6.18 does, or cannot tell.

## Helpers: ${helpers.length} of ${helpers.length + lackingHelpers.length}

${list(helpers.map((id) => `bpf_${helperName(id)}`))}

Not there:

${lackingHelpers.map(because).join('\n')}

What is missing, and what should do something else, is supplied by name:
\`createVm({ helpers: { bpf_xxx: (args, memory) => { ... } }, kfuncs: { ... } })\`.

## Kernel functions: ${Object.keys(KFUNCS).length}

${list(Object.keys(KFUNCS).sort())}

${await contexts()}`
}

if (process.argv.includes('--write')) writeFileSync(vmSupportFile, await vmSupport())
