// The public surface as text: every declaration that the package's entry points reach, without comments.
// `node scripts/api-surface.mjs` prints it; test/api compares it with the committed docs/api-surface.txt.
import { readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Text of all .d.ts files behind the entry points of package.json, in a stable order. */
export function apiSurface() {
  const { exports } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
  const entries = Object.values(exports)
    .flatMap((target) => (typeof target === 'string' ? [target] : Object.values(target)))
    .filter((target) => target.endsWith('.js'))
  const files = new Map()
  const visit = (file) => {
    if (files.has(file)) return
    const text = readFileSync(file, 'utf8')
    files.set(file, text)
    for (const match of text.matchAll(/(?:from|import\()\s*['"](\.[^'"]+)\.[jt]s['"]/g)) {
      visit(resolve(dirname(file), `${match[1]}.d.ts`))
    }
  }
  for (const entry of entries) visit(resolve(root, entry.replace(/\.js$/, '.d.ts')))
  return [...files]
    .map(([file, text]) => [relative(`${root}/dist`, file), text])
    .filter(([file]) => !file.endsWith('.generated.d.ts'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, text]) => `// ${file}\n${withoutComments(text)}`)
    .join('\n')
}

function withoutComments(text) {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/\n\s*\n+/g, '\n')
    .trimStart()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(apiSurface())
