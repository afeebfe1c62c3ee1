import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { Btf, BtfKind } from '../../src/btf/index.ts'
import { LoadedBtf, blobForKernel } from '../../src/kernel/object-btf.ts'
import { openObject } from '../../src/loader/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { kernelTestsRun } from '../support/kernel.ts'

const run = await kernelTestsRun()
const fixtures = readdirSync(fileURLToPath(new URL('../../fixtures/clang19/', import.meta.url))).filter((name) =>
  name.endsWith('.o'),
)

const btfOf = async (name: string): Promise<Btf | null> =>
  openObject(await loadFixture(`fixtures/clang19/${name}`), { name }).btf

describe('BTF for the kernel', () => {
  it("is the object's own where nothing is extern", async () => {
    const btf = await btfOf('packet_counter.bpf.o')
    expect(btf).not.toBeNull()
    if (btf !== null) expect(blobForKernel(btf)).toBe(btf.bytes())
  })

  it('defines externs and turns kernel symbols into ints', async () => {
    const btf = await btfOf('externs.bpf.o')
    if (btf === null) throw new Error('externs.bpf.o has no BTF')
    const edited = Btf.parse(blobForKernel(btf))
    const externs = [...edited.types()].filter(
      (type) => (type.kind === BtfKind.VAR || type.kind === BtfKind.FUNC) && type.linkage === 2,
    )
    expect(externs).toEqual([])
    const section = edited.findByName('.ksyms', BtfKind.DATASEC)
    const type = edited.type(section ?? 0)
    if (type.kind !== BtfKind.DATASEC) throw new Error('no .ksyms')
    expect(type.size).toBe(type.vars.length * 4)
    for (const entry of type.vars) {
      const variable = edited.type(entry.type)
      if (variable.kind !== BtfKind.VAR) throw new Error(`${variable.name} is no variable`)
      expect(edited.type(variable.type)).toMatchObject({ kind: BtfKind.INT, size: 4 })
    }
  })

  it.runIf(run).each(fixtures)('of %s is accepted', async (name) => {
    const btf = await btfOf(name)
    if (btf === null) return
    const loaded = new LoadedBtf(btf, () => {})
    const { fd, log } = loaded
    loaded.close()
    expect(log).toBe('')
    expect(fd).not.toBeNull()
  })
})
