/** Bytes of a file of the repository, in Node (by fs) and in a browser (by HTTP from the vitest server). */
export async function loadFixture(path: string): Promise<Uint8Array> {
  if (typeof process !== 'undefined' && process.versions?.node !== undefined) {
    const { readFile } = await import('node:fs/promises')
    const { fileURLToPath } = await import('node:url')
    return new Uint8Array(await readFile(fileURLToPath(new URL(`../../${path}`, import.meta.url))))
  }
  const response = await fetch(`/${path}`)
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`)
  return new Uint8Array(await response.arrayBuffer())
}

/** Text of a file of the repository. */
export async function loadText(path: string): Promise<string> {
  return new TextDecoder().decode(await loadFixture(path))
}
